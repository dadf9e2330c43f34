//! Who signed an index: the fingerprints in the signatures (RFC 9580) of a clear-signed file.
//!
//! apt has verified the signatures before this is read; here they are only named.

use base64::Engine as _;

/// The fingerprints of the keys, upper-case hexadecimal, in the order of the signatures.
pub(super) fn fingerprints(signed: &str) -> Vec<String> {
    let Some(armour) = signed.split("-----BEGIN PGP SIGNATURE-----").nth(1) else { return Vec::new() };
    let body = armour.split("-----END").next().unwrap_or_default();
    let lines = body.lines().map(str::trim).skip_while(|line| !line.is_empty());
    let text: String = lines.filter(|line| !line.starts_with('=')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    packets(&bytes).into_iter().filter_map(fingerprint).collect()
}

/// The bodies of the signature packets (RFC 9580, 4.2).
fn packets(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some((tag, after)) = rest.split_first() {
        let (kind, length) = if tag & 0x40 != 0 {
            (tag & 0x3f, new_length(after))
        } else {
            (tag >> 2 & 0x0f, old_length(tag & 3, after))
        };
        let Some((header, length)) = length else { break };
        let Some(body) = after.get(header..header + length) else { break };
        if kind == 2 {
            bodies.push(body);
        }
        rest = &after[header + length..];
    }
    bodies
}

/// How many bytes a length has, and the length.
fn new_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [one @ 0..=191, ..] => Some((1, usize::from(one))),
        [one @ 192..=223, two, ..] => Some((2, (usize::from(one) - 192) * 256 + usize::from(two) + 192)),
        [255, a, b, c, d, ..] => Some((5, u32::from_be_bytes([a, b, c, d]) as usize)),
        _ => None,
    }
}

fn old_length(kind: u8, bytes: &[u8]) -> Option<(usize, usize)> {
    match (kind, bytes) {
        (0, [a, ..]) => Some((1, usize::from(*a))),
        (1, [a, b, ..]) => Some((2, usize::from(u16::from_be_bytes([*a, *b])))),
        (2, [a, b, c, d, ..]) => Some((4, u32::from_be_bytes([*a, *b, *c, *d]) as usize)),
        _ => None,
    }
}

/// The issuer's fingerprint among the subpackets of a version 4 signature.
fn fingerprint(body: &[u8]) -> Option<String> {
    const ISSUER_FINGERPRINT: u8 = 33;
    let [4, _, _, _, high, low, rest @ ..] = body else { return None };
    let mut subpackets = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    while let Some((header, length)) = new_length(subpackets) {
        let subpacket = subpackets.get(header..header + length)?;
        if let [ISSUER_FINGERPRINT, _version, key @ ..] = subpacket {
            return Some(crate::canonical::hex(key).to_ascii_uppercase());
        }
        subpackets = &subpackets[header + length..];
    }
    None
}
