//! Pushes to registries that fail, through the binary.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::layout::Layout;
use oci_spec::image::MediaType;
use serde_json::json;

mod plans;
mod proxy;
mod random;
mod unreachable;

/// Bytes that no compression makes smaller, another sequence for each seed.
fn random_bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// An image of one layer a size. A registry does not look into layers, so that they need not be archives.
pub(crate) fn image(seed: u64, sizes: &[usize]) -> Image {
    let layers: Vec<Blob> = (0..)
        .zip(sizes)
        .map(|(at, size)| Blob::bytes(MediaType::ImageLayer, random_bytes(seed * 16 + at, *size)))
        .collect();
    image_of(layers)
}

fn image_of(layers: Vec<Blob>) -> Image {
    let ids: Vec<String> = layers.iter().map(|layer| layer.descriptor.digest().to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    Image::assemble(Document::new(MediaType::ImageConfig, &config), layers, &BTreeMap::new())
}

/// Writes an image where the binary can read it.
pub(crate) fn layout_of(image: &Image, directory: &Path) -> String {
    let layout = Layout::create(directory).unwrap();
    layout.write_image(image).unwrap();
    layout.tag("app", image.manifest.descriptor()).unwrap();
    format!("oci:{}:app", directory.display())
}

/// The status and the body of a GET on loopback.
fn get(port: u16, path: &str, accept: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}

/// What a registry has of an image that is not as it should be.
fn wrong_at(port: u16, repository: &str, tag: &str, image: &Image) -> Vec<String> {
    let mut wrong = Vec::new();
    let manifest = image.manifest.media_type().to_string();
    let mut compare = |path: String, accept: &str, bytes: &[u8]| {
        let (status, found) = get(port, &path, accept);
        if status != 200 || found != bytes {
            wrong.push(format!("{path}: {status} and {} bytes", found.len()));
        }
    };
    compare(format!("/v2/{repository}/manifests/{tag}"), &manifest, image.manifest.bytes());
    let config = (image.config.digest(), image.config.bytes());
    let layers = image.layers.iter().map(|layer| (layer.descriptor.digest(), bytes_of(layer)));
    for (digest, bytes) in layers.chain([config]) {
        compare(format!("/v2/{repository}/blobs/{digest}"), "*/*", bytes);
    }
    wrong
}

fn bytes_of(blob: &Blob) -> &[u8] {
    match &blob.source {
        lapstrake_oci::image::BlobSource::Bytes(bytes) => bytes,
        other => panic!("{other:?} is not in memory"),
    }
}
