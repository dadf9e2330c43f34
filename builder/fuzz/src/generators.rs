//! Archives, app files, manifests and challenges made of a stream of choices, mostly well formed: what a fuzzer or a
//! seeded test changes in the stream changes one decision, so that readers are reached behind their first checks.
//!
//! Shared by the fuzz targets and by tests that include this file; it uses the standard library alone.

/// A stream of choices: bytes of a fuzzer, or of a small generator. Where it ends, every choice is the first one.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices that these bytes make.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit.max(1)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True once in so many times; never where the stream has ended.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 1
    }
}

/// So many bytes of a seed, the same ones always.
pub fn seeded(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// How many times as many seeds as usual a test tries: one, or `long` where `LAPSTRAKE_SECURITY_LONG` is set.
pub fn times(long: u64) -> u64 {
    if std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some() { long } else { 1 }
}

/// An archive, what it holds, and whether anything in it was made wrong on purpose.
pub struct Archive {
    /// The archive.
    pub bytes: Vec<u8>,
    /// Path, kind and content or target of its entries.
    pub entries: Vec<(String, char, Vec<u8>)>,
    /// Whether every entry is as it should be.
    pub is_sound: bool,
}

/// A block of 512 bytes that is a header with the checksum that it should have.
fn header(name: &[u8], flag: u8, size: usize, link: &[u8], magic: [u8; 8]) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8], room: usize| {
        let length = text.len().min(room);
        block[at..at + length].copy_from_slice(&text[..length]);
    };
    put(0, name, 100);
    put(100, b"0000644\0", 8);
    put(108, b"0001750\0", 8);
    put(116, b"0001750\0", 8);
    put(124, format!("{size:011o}\0").as_bytes(), 12);
    put(136, b"14524770400\0", 12);
    put(156, &[flag], 1);
    put(157, link, 100);
    put(257, &magic, 8);
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

/// An archive of some entries, with a fault here and there.
pub fn archive(choices: &mut Choices<'_>) -> Archive {
    let mut made = Archive { bytes: Vec::new(), entries: Vec::new(), is_sound: true };
    for number in 0..=choices.below(9) {
        entry(choices, &mut made, number);
    }
    if choices.once_in(12) {
        let keep = choices.below(made.bytes.len());
        made.bytes.truncate(keep);
        made.is_sound = false;
    }
    made.bytes.resize(made.bytes.len() + 1024, 0);
    if choices.once_in(12) {
        made.bytes.extend(header(b"behind", b'0', 0, b"", *b"ustar\x0000"));
        made.is_sound = false;
    }
    made
}

/// Names that no reader should take, or that readers take differently.
const BAD_NAMES: [&str; 8] = ["../up", "/root", "a/../../b", "", "a//b", "d/.wh.x", ".wh..wh..opq", "a\0b"];

fn entry(choices: &mut Choices<'_>, made: &mut Archive, number: usize) {
    let deep = choices.pick(&["", "d/", "d/e/", "lib/"]);
    let word = choices.pick(&["a", "main.py", "name with space", "-rf", "\u{fc}", "\u{1b}[31m", "x\\y"]);
    let long = if choices.once_in(6) { "l".repeat(60 + choices.below(120)) } else { String::new() };
    let mut name = format!("{deep}{number}{word}{long}");
    if choices.once_in(25) {
        choices.pick(&BAD_NAMES).clone_into(&mut name);
        made.is_sound = false;
    }
    let (flag, kind) = choices.pick(&[(b'0', 'f'), (b'0', 'f'), (b'0', 'f'), (b'5', 'd'), (b'2', 'l')]);
    let content: Vec<u8> = match kind {
        'f' => vec![b'a' + u8::try_from(number).unwrap_or(0); choices.below(1500)],
        'l' => format!("{number}target").into_bytes(),
        _ => Vec::new(),
    };
    let (body, link): (&[u8], &[u8]) = if kind == 'l' { (&[], &content) } else { (&content, &[]) };
    let magic = choices.pick(&[*b"ustar\x0000", *b"ustar  \0"]);
    extended(choices, made, &name, magic == *b"ustar  \0");
    let mut block = header(name.as_bytes(), flag, body.len(), link, magic);
    if choices.once_in(25) {
        damage(choices, &mut block);
        made.is_sound = false;
    }
    made.bytes.extend(block);
    made.bytes.extend(padded(body.to_vec()));
    made.entries.push((name, kind, content));
}

/// What stands before a header whose name is too long for it, and now and then without need.
fn extended(choices: &mut Choices<'_>, made: &mut Archive, name: &str, is_gnu: bool) {
    let is_long = name.len() > 100;
    if !is_long && !choices.once_in(10) {
        return;
    }
    if is_gnu {
        let text = [name.as_bytes(), b"\0"].concat();
        made.bytes.extend(header(b"././@LongLink", b'L', text.len(), b"", *b"ustar  \0"));
        made.bytes.extend(padded(text));
        return;
    }
    let mut records = record("path", name);
    if choices.once_in(8) {
        records +=
            choices.pick(&["9 path=x\n", "999 a=b\n", "11 size=-1\n", "12 path=../x\n", "5 a=\n", "x"]);
        made.is_sound = false;
    } else if choices.once_in(4) {
        records += &record("mtime", "1700000000.25");
    }
    made.bytes.extend(header(b"PaxHeaders/x", b'x', records.len(), b"", *b"ustar\x0000"));
    made.bytes.extend(padded(records.into_bytes()));
}

fn damage(choices: &mut Choices<'_>, block: &mut [u8; 512]) {
    let at = choices.pick(&[0, 100, 124, 125, 135, 148, 156, 157, 257, 263, 345, 500]);
    block[at] = choices.pick(&[0, b'-', b'9', b' ', 0x80, 0xff, b'x', b'1', b'3', b'6', b'S', b'g']);
    if !choices.once_in(4) {
        seal(block);
    }
}

/// An app file and the start command that it names, if nothing in it was made wrong on purpose.
pub fn app_file(choices: &mut Choices<'_>) -> (String, Option<String>) {
    let mut is_sound = true;
    let command = choices.pick(&["python3 app.py", "node server.js --port 8080", "sh -c 'echo a b'", "x"]);
    let shown = match choices.below(4) {
        0 => command.to_owned(),
        1 => format!("\"{command}\""),
        2 => format!("'{}'", command.replace('\'', "''")),
        _ => format!("{}\n    {command}", choices.pick(&["|", ">", "|-", ">-"])),
    };
    let mut lines = vec!["version: 1.0".to_owned(), "runtime: python3".to_owned(), "build:".to_owned()];
    lines.push("  commands:".to_owned());
    for phase in ["pre-build", "build", "post-build"] {
        if phase == "build" || choices.once_in(3) {
            lines.push(format!("    {phase}:"));
            lines.extend((0..=choices.below(3)).map(|number| format!("      - echo {number}")));
        }
    }
    lines.push("run:".to_owned());
    lines.push(format!("  command: {shown}"));
    if choices.once_in(2) {
        lines.push("  network:".to_owned());
        lines.push(format!("    port: {}", 1024 + choices.below(60_000)));
    }
    if choices.once_in(2) {
        lines.push("  env:".to_owned());
        for number in 0..=choices.below(4) {
            lines.push(format!("    - name: NAME_{number}"));
            lines.push(format!("      value: {}", choices.pick(&["1", "\"a: b\"", "text", "'#'", "1e3"])));
        }
    }
    if choices.once_in(3) {
        lines.insert(choices.below(lines.len()), "# a comment".to_owned());
    }
    for _ in 0..choices.below(4) {
        if choices.once_in(2) {
            let line = choices.below(lines.len());
            let more = choices
                .pick(&["\t", "&a ", "*a", "!!x ", "{", "]", "'", ": ", "<<: *a", "\u{0}", "---", "%"]);
            let at = choices.below(lines[line].len() + 1);
            let at = (0..=at).rev().find(|at| lines[line].is_char_boundary(*at)).unwrap_or(0);
            lines[line].insert_str(at, more);
            is_sound = false;
        }
    }
    (lines.join("\n") + "\n", is_sound.then(|| command.to_owned()))
}

/// A manifest, whether a key is in one of its objects twice, and the `Content-Type` that it comes with.
pub fn manifest(choices: &mut Choices<'_>) -> (String, bool, Option<&'static str>) {
    let types = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/json",
        "",
    ];
    let mut keys: Vec<String> = Vec::new();
    if !choices.once_in(8) {
        keys.push(format!(
            "\"schemaVersion\": {}",
            choices.pick(&["2", "2", "2", "1", "\"2\"", "2.0", "null"])
        ));
    }
    if !choices.once_in(3) {
        keys.push(format!("\"mediaType\": \"{}\"", choices.pick(&types)));
    }
    let descriptor = "{\"mediaType\": \"a\", \"digest\": \"sha256:00\", \"size\": 1}";
    for key in ["layers", "manifests", "config", "annotations"] {
        if choices.once_in(2) {
            let value = choices.pick(&["[]", "{}", "null", descriptor, "[{\"a\": 1, \"a\": 2}]"]);
            keys.push(format!("\"{key}\": {value}"));
        }
    }
    if choices.once_in(6) && !keys.is_empty() {
        let again = keys[choices.below(keys.len())].clone();
        keys.push(if choices.once_in(2) { again.replacen("\"s", "\"\\u0073", 1) } else { again });
    }
    let names: Vec<String> =
        keys.iter().map(|key| key.split(':').next().unwrap_or_default().replace("\\u0073", "s")).collect();
    let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
    let inner = keys.iter().any(|key| key.contains("\"a\": 1, \"a\": 2"));
    let kind = if choices.once_in(2) { Some(choices.pick(&types)) } else { None };
    (format!("{{{}}}", keys.join(", ")), twice || inner, kind)
}

/// The answer of a token service, and the token that it is to be understood as, if it is one.
pub fn token(choices: &mut Choices<'_>) -> (String, Option<&'static str>) {
    let tokens = ["abc", "a.b-c_d", "", "a\\nb", "a\\u0000b", "\\ud800", "t0"];
    let (first, second) = (choices.pick(&tokens), choices.pick(&tokens));
    let expires = choices.pick(&["60", "0", "-1", "18446744073709551615", "1e400", "\"60\"", "null", "60.5"]);
    let (has_first, has_second, has_expires) = (choices.once_in(2), choices.once_in(2), choices.once_in(2));
    let mut parts = Vec::new();
    if has_first {
        parts.push(format!("\"token\": \"{first}\""));
    }
    if has_second {
        parts.push(format!("\"access_token\": \"{second}\""));
    }
    if has_expires {
        parts.push(format!("\"expires_in\": {expires}"));
    }
    let is_good = |token: &str| !token.is_empty() && !token.contains('\\');
    // The first one counts where both are there.
    let meant = if has_first { Some(first) } else { Some(second).filter(|_| has_second) };
    let numbers = !has_expires || matches!(expires, "60" | "0" | "18446744073709551615" | "null");
    let readable =
        [(has_first, first), (has_second, second)].iter().all(|(has, token)| !has || *token != "\\ud800");
    (format!("{{{}}}", parts.join(", ")), meant.filter(|token| is_good(token) && numbers && readable))
}

/// A `WWW-Authenticate` header, whether it is sound, and then the realm of its first offer of a token.
pub fn challenge(choices: &mut Choices<'_>) -> (String, bool, Option<&'static str>) {
    let (mut text, mut realm, mut is_sound) = (String::new(), None, true);
    for number in 0..=choices.below(3) {
        let scheme = choices.pick(&["Bearer", "bearer", "Basic", "Digest", "Negotiate"]);
        let place =
            choices.pick(&["https://a.example/token", "http://127.0.0.1:1/t", "file:///etc/passwd", "x"]);
        if number > 0 {
            text += ", ";
        }
        text.extend([scheme, " realm=\"", place, "\""]);
        if choices.once_in(2) {
            let (comma, service) =
                (choices.pick(&[",", ", ", " ,"]), choices.pick(&["\"r\"", "r", "\"\\r\""]));
            text.extend([comma, "service=", service]);
        }
        if choices.once_in(2) {
            text += ",scope=\"repository:a:pull,push\"";
        }
        if scheme.eq_ignore_ascii_case("bearer") && realm.is_none() {
            realm = Some(place);
        }
    }
    if choices.once_in(3) {
        let at = choices.below(text.len());
        text.insert_str(at, choices.pick(&["\"", "\\", "=", ",", "\r\n", "realm=\"b\"", " ", "\u{0}"]));
        is_sound = false;
    }
    (text, is_sound, realm)
}
