//! Uploads that break off in the middle and go on from there, where the registry can prove that it has the first half.

use lapstrake_fixtures::registry::Status;

use super::*;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;

/// The layer in a file, and its image.
fn large() -> (tempfile::NamedTempFile, Image) {
    let content = bytes("large", usize::try_from(SIZE).unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), &content).unwrap();
    let mut blob = Blob::bytes(MediaType::ImageLayerGzip, content);
    blob.source = BlobSource::File(file.path().to_owned());
    (file, image(vec![blob]))
}

/// Pushes the image to a registry that says this of its uploads, and cuts the connection after so many bytes of the layer,
/// once for each.
fn push_broken(status: Status, location: Location, cuts: &[u64]) -> Server {
    let server = Server::with(Settings { status, location, ..Settings::default() });
    for cut in cuts {
        server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(cut * MIB)));
    }
    let (_file, image) = large();
    let retry = RetryPolicy { attempts: 12, ..options().retry };
    // One after the other, so that the layer is hit and not the config.
    let client = Client::new(Options { parallel: 1, retry, ..options() }).unwrap();
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    server
}

/// How many bytes of the layer arrived more than once.
fn sent_again(server: &Server) -> u64 {
    let puts = requests(server, "PUT", "/blobs/uploads/");
    puts.iter().map(|put| put.body).filter(|size| *size > 4096).sum::<u64>() - SIZE
}

/// From where on each PUT sent the layer, and how it ended.
fn starts(server: &Server) -> Vec<u64> {
    let puts = requests(server, "PUT", "/blobs/uploads/").into_iter().filter(|put| put.body > 4096);
    puts.map(|put| match put.headers.get("content-range") {
        Some(range) => range.split_once('-').unwrap().0.parse().unwrap(),
        None => 0,
    })
    .collect()
}

#[test]
fn reg_r02_an_upload_that_breaks_off_goes_on_from_what_the_registry_has() {
    for location in [Location::Relative, Location::Absolute, Location::WithQuery] {
        let server = push_broken(Status::Told, location, &[10]);
        let starts = starts(&server);
        assert_eq!(starts.len(), 2, "{starts:?}");
        assert!(starts[1] >= 10 * MIB, "{starts:?}");
        assert!(sent_again(&server) < SIZE / 8, "{} bytes", sent_again(&server));
        assert_eq!(requests(&server, "GET", "/blobs/uploads/").len(), 1);
        // One for the layer and one for the config.
        assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 2);
        assert_eq!(server.open_uploads(), 0);
    }
}

#[test]
fn reg_r02_an_upload_that_breaks_off_again_and_again_moves_forward_each_time() {
    // A server that reads by large pieces has more than that before it cuts, but not all.
    let server = push_broken(Status::Told, Location::Relative, &[4, 4, 4]);
    let starts = starts(&server);
    assert_eq!(starts.len(), 4, "{starts:?}");
    assert!(starts.is_sorted_by(|before, after| before < after), "{starts:?}");
    assert!(sent_again(&server) < SIZE / 8, "{} bytes", sent_again(&server));
    assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 2);
}

#[test]
fn reg_r02_an_offset_that_does_not_move_ends_the_upload_and_the_blob_is_sent_anew() {
    // The first answer may be true; the second has not moved.
    let server = push_broken(Status::Frozen, Location::Relative, &[10]);
    assert_eq!(starts(&server)[0], 0);
    assert_eq!(*starts(&server).last().unwrap(), 0, "{:?}", starts(&server));
    let refused = requests(&server, "PUT", "/blobs/uploads/").iter().filter(|put| put.status == 416).count();
    assert_eq!(refused, 1);
    assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 3);
}

#[test]
fn reg_r02_an_offset_that_stands_still_between_two_breaks_is_not_gone_on_from() {
    let server = Server::start();
    let client = Client::new(options()).unwrap();
    let destination = client.destination(&reference(&server, "app:1"), &[]).unwrap();
    let upload = server.add_upload("app", &bytes("half", 6_000_000));
    let url = destination.remote.url(&format!("blobs/uploads/{upload}"));
    let part = |from| super::super::resume::Part { upload: url.clone(), from };
    let rest = |from, gone, size| {
        let rest = client.runtime.block_on(destination.remote.rest_of(&part(from), gone, size));
        rest.map(|part| part.from)
    };
    let many = 5_000_000;
    assert_eq!(rest(0, 6_500_000, 9_000_000), Some(6_000_000));
    assert_eq!(rest(5_999_999, many, 9_000_000), Some(6_000_000));
    assert_eq!(rest(6_000_000, many, 9_000_000), None, "it stands still");
    assert_eq!(rest(7_000_000, many, 9_000_000), None, "it went back");
    assert_eq!(rest(0, many, 9_000_000), None, "more arrived than was sent");
    assert_eq!(rest(0, 6_500_000, 5_900_000), None, "more arrived than there is");
    assert_eq!(rest(0, 6_500_000, 6_000_000), Some(6_000_000), "all of it arrived");
    assert_eq!(rest(0, 1_000_000, 9_000_000), None, "it is not worth asking");
}

#[test]
fn reg_r02_an_offset_that_cannot_be_true_is_not_believed() {
    for status in [Status::Silent, Status::Unknown] {
        let server = push_broken(status, Location::Relative, &[10]);
        assert_eq!(starts(&server), [0, 0], "{status:?}");
        assert_eq!(requests(&server, "GET", "/blobs/uploads/").len(), 1, "{status:?}");
        assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 3, "{status:?}");
    }
    // More than the blob has.
    let server = push_broken(Status::Ahead, Location::Relative, &[10]);
    assert_eq!(starts(&server), [0, 0]);
}

#[test]
fn reg_r02_a_status_that_fails_costs_one_question_and_not_the_push() {
    for fault in [
        Fault::status("GET", "/blobs/uploads/", 405),
        Fault::status("GET", "/blobs/uploads/", 500).always(),
        Fault::status("GET", "/blobs/uploads/", 200),
        Fault::on("GET", "/blobs/uploads/", Act::ApplyThenReset).always(),
        Fault::on("GET", "/blobs/uploads/", Act::Header("range", "nonsense".into())),
    ] {
        let server = Server::start();
        server.fault(fault.clone());
        server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(10 * MIB)));
        let (_file, image) = large();
        let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
        push_to(&client, &image, &reference(&server, "app:1")).unwrap();
        assert_stored(&server, "app", "1", &image);
        assert_eq!(starts(&server), [0, 0], "{fault:?}");
        assert_eq!(requests(&server, "GET", "/blobs/uploads/").len(), 1, "{fault:?}");
    }
}

#[test]
fn reg_r02_a_rest_that_the_registry_does_not_want_is_not_offered_twice() {
    let server = Server::start();
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(10 * MIB)));
    server.fault(Fault::status("PUT", "/blobs/uploads/", 400));
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(10 * MIB)));
    let (_file, image) = large();
    let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    let starts = starts(&server);
    assert_eq!((starts.len(), starts[0], starts[2], starts[3]), (4, 0, 0, 0), "{starts:?}");
}

#[test]
fn reg_r02_what_was_kept_of_other_bytes_is_found_out_by_the_digest_and_sent_anew() {
    let server = Server::start();
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(10 * MIB)));
    server.fault(Fault::on("GET", "/blobs/uploads/", Act::Header("range", format!("0-{}", 9 * MIB - 1))));
    let (_file, image) = large();
    let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    assert_eq!(starts(&server), [0, 9 * MIB, 0]);
}

#[test]
fn reg_r02_a_small_upload_that_breaks_off_is_sent_anew_without_a_question() {
    let server = Server::start();
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(100_000)));
    let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
    push_to(&client, &image(vec![layer("a", 1_500_000)]), &reference(&server, "app:1")).unwrap();
    assert!(requests(&server, "GET", "/blobs/uploads/").is_empty());
}

/// The places where REG-R02 cuts a request: its first bytes, and every MiB.
fn cuts() -> impl Iterator<Item = u64> {
    [0, 1, 511, 65_536].into_iter().chain((1..=8).map(|at| at * MIB))
}

#[test]
fn reg_r02_a_reset_anywhere_ends_in_the_right_blob_and_sends_little_again() {
    const SENT: u64 = 8 * MIB;
    // What is not worth asking for, and what was on its way.
    const CHUNK: u64 = 4 * MIB + MIB / 2;
    let (mut runs, mut most) = (0, 0);
    let mut check = |method: &'static str, cut: u64, server: &Server, image: &Image| {
        assert_stored(server, "app", "1", image);
        let cut_off = server.log().iter().filter(|request| request.status == 0).count();
        assert_eq!(cut_off, 1, "{method} {cut}");
        let size = image.layers[0].descriptor.size();
        let bodies = server.log().into_iter().filter(|it| it.path.contains("/uploads/") && it.body > 4096);
        let again = bodies.map(|it| it.body).sum::<u64>().saturating_sub(size);
        assert!(again <= CHUNK, "{method} {cut}: {again} bytes sent again");
        (runs, most) = (runs + 1, again.max(most));
    };
    let content = bytes("cut", usize::try_from(SENT).unwrap());
    for cut in cuts() {
        for method in ["POST", "PUT"] {
            let server = Server::start();
            server.fault(Fault::on(method, "/blobs/uploads/", Act::ResetAfter(cut)));
            let image = image(vec![Blob::bytes(MediaType::ImageLayerGzip, content.clone())]);
            let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
            push_to(&client, &image, &reference(&server, "app:1")).unwrap();
            check(method, cut, &server, &image);
        }
        let server = Server::start();
        server.fault(Fault::on("PATCH", "/blobs/uploads/", Act::ResetAfter(cut)));
        let (image, pushed) = super::following::push_growing(&server, usize::try_from(SENT).unwrap());
        pushed.unwrap();
        check("PATCH", cut, &server, &image);
    }
    println!("figure REG-R02: {runs} of 36 runs, at most {most} bytes of {SENT} sent again");
    assert_eq!(runs, 36);
}
