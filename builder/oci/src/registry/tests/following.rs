//! Blobs that are sent while they are made.

use std::num::NonZeroUsize;

use lapstrake_fixtures::registry::Status;

use super::*;
use crate::layer::{Compression, PackOptions, pack_watched};
use crate::tree::{FileTree, Node, TreePath};

/// Packs a file of so many bytes that do not compress, sends it meanwhile, and pushes an image of it.
pub(super) fn push_growing(server: &Server, size: usize) -> (Image, Result<PushReport, PushError>) {
    let client = client();
    let target = reference(server, "app:1");
    let destination = client.destination(&target, &[]).unwrap();
    let tree = FileTree::from_iter([(TreePath::new("app").unwrap(), Node::file(bytes("app", size), 0o644))]);
    let options =
        PackOptions { threads: NonZeroUsize::MIN, ..PackOptions::new(0).compression(Compression::Gzip(1)) };
    let scratch = tempfile::tempdir().unwrap();
    let mut following = None;
    let packed = pack_watched(&tree, &options, scratch.path(), &mut |growing| {
        following = Some(destination.follow(growing));
    })
    .unwrap();
    destination.followed(packed.descriptor.digest(), following.unwrap());
    let image = image(vec![Blob::file(packed.descriptor.clone(), packed.blob.path())]);
    let pushed = push(&image, &destination, &mut |_| {});
    (image, pushed)
}

#[test]
fn a_layer_arrives_that_was_sent_while_it_was_packed() {
    for location in [Location::Relative, Location::Absolute, Location::WithQuery] {
        let server = Server::with(Settings { location, ..Settings::default() });
        let (image, pushed) = push_growing(&server, 5_000_000);
        let report = pushed.unwrap();
        let size = image.layers[0].descriptor.size();
        assert_eq!(report.blobs[0].outcome, BlobOutcome::Uploaded { bytes: size });
        let digest = image.layers[0].descriptor.digest().to_string();
        assert_eq!(digest_of(&server.blob("app", &digest).unwrap()), digest);
        let patches = requests(&server, "PATCH", "/blobs/uploads/");
        assert_eq!(patches.iter().map(|patch| patch.body).collect::<Vec<_>>(), [size]);
        assert_eq!(server.open_uploads(), 0);
    }
}

#[test]
fn a_small_layer_is_sent_whole() {
    let server = Server::start();
    let (_, pushed) = push_growing(&server, 500_000);
    pushed.unwrap();
    assert!(requests(&server, "PATCH", "").is_empty());
}

#[test]
fn whatever_breaks_on_the_way_the_layer_is_sent_from_its_file() {
    for fault in [
        Fault::status("PATCH", "/blobs/uploads/", 405),
        Fault::status("PATCH", "/blobs/uploads/", 500),
        Fault::status("PATCH", "/blobs/uploads/", 404),
        Fault::on("PATCH", "/blobs/uploads/", Act::ResetAfter(100_000)),
        Fault::on("PATCH", "/blobs/uploads/", Act::ApplyThenReset),
        Fault::status("POST", "/blobs/uploads/", 405),
        Fault::status("PUT", "/blobs/uploads/", 404),
        Fault::status("PUT", "/blobs/uploads/", 500),
    ] {
        let server = Server::start();
        server.fault(fault.clone());
        let (image, pushed) = push_growing(&server, 3_000_000);
        pushed.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let digest = image.layers[0].descriptor.digest().to_string();
        assert_eq!(digest_of(&server.blob("app", &digest).unwrap()), digest, "{fault:?}");
        assert!(server.manifest("app", "1").is_some(), "{fault:?}");
    }
}

#[test]
fn a_layer_that_breaks_off_while_it_is_made_goes_on_from_what_the_registry_has() {
    for (status, goes_on) in [(Status::Told, true), (Status::Unknown, false), (Status::Frozen, false)] {
        let server = Server::with(Settings { status, ..Settings::default() });
        server.fault(Fault::on("PATCH", "/blobs/uploads/", Act::ResetAfter(8_000_000)));
        let (image, pushed) = push_growing(&server, 12_000_000);
        pushed.unwrap();
        assert_stored(&server, "app", "1", &image);
        let puts = requests(&server, "PUT", "/blobs/uploads/");
        let largest = puts.iter().map(|put| put.body).max().unwrap();
        let size = image.layers[0].descriptor.size();
        if goes_on {
            assert!(largest < size - 7_900_000, "{largest} of {size} after 8 million");
        } else {
            assert!(largest >= size - 1000, "{largest} of {size}");
        }
        assert_eq!(requests(&server, "PATCH", "").len(), 1);
    }
}

#[test]
fn a_layer_that_turns_out_to_be_there_is_not_sent_to_its_end() {
    let server = Server::start();
    let (image, pushed) = push_growing(&server, 3_000_000);
    pushed.unwrap();
    let layer = server.blob("app", image.layers[0].descriptor.digest().as_ref()).unwrap();
    let second = Server::start();
    second.add_blob("app", &layer);
    second.fault(Fault::on("PATCH", "/blobs/uploads/", Act::Stall(Duration::from_secs(3))));
    let started = Instant::now();
    let (again, pushed) = push_growing(&second, 3_000_000);
    assert_eq!(again.layers[0].descriptor, image.layers[0].descriptor);
    assert_eq!(pushed.unwrap().blobs[0].outcome, BlobOutcome::Present);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(second.open_uploads(), 0);
}

#[test]
fn a_layer_that_was_never_finished_leaves_no_upload_behind() {
    let server = Server::start();
    let client = client();
    let destination = client.destination(&reference(&server, "app:1"), &[]).unwrap();
    let missing = crate::tree::Content::path("/nonexistent/file", 1);
    let tree = FileTree::from_iter([
        (TreePath::new("a").unwrap(), Node::file(bytes("a", 6_000_000), 0o644)),
        (TreePath::new("b").unwrap(), Node::file(missing, 0o644)),
    ]);
    let scratch = tempfile::tempdir().unwrap();
    let mut following = None;
    let options = PackOptions { threads: NonZeroUsize::MIN, ..PackOptions::new(0) };
    let packed = pack_watched(&tree, &options, scratch.path(), &mut |growing| {
        following = Some(destination.follow(growing));
    });
    assert!(packed.is_err());
    let following = following.unwrap();
    let blob = layer("a", 10);
    let put = destination.remote.put_followed(&blob, following, &|_| {});
    assert!(client.runtime.block_on(put).unwrap().is_none());
    assert_eq!(server.open_uploads(), 0);
}

/// An image whose layer the tag's image has already, in a registry that has lost the layer since.
#[test]
fn a_layer_that_was_taken_to_be_there_and_is_not_is_sent_after_all() {
    let server = Server::start();
    let first = image(vec![layer("a", 300_000)]);
    push_to(&client(), &first, &reference(&server, "app:1")).unwrap();
    let second = image(vec![layer("a", 300_000), layer("b", 1_000)]);
    let lossy = Server::start();
    lossy.add_manifest("app", "1", first.manifest.media_type().as_ref(), first.manifest.bytes());
    push_to(&client(), &second, &reference(&lossy, "app:1")).unwrap();
    assert_stored(&lossy, "app", "1", &second);
}
