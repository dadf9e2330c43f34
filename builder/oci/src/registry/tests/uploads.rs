//! Uploads that come to nothing, and are not left open at the registry.

use std::sync::atomic::{AtomicUsize, Ordering};

use lapstrake_fixtures::registry::Status;

use super::*;

/// Pushes an image with one layer, one blob at a time, under faults; returns how it ended once nothing is left of the push.
fn push_under(
    server: &Server,
    faults: impl IntoIterator<Item = Fault>,
    options: Options,
) -> Result<PushReport, RegistryError> {
    for fault in faults {
        server.fault(fault);
    }
    let client = Client::new(Options { parallel: 1, ..options }).unwrap();
    push_to(&client, &image(vec![layer("a", 1_500_000)]), &reference(server, "app:1")).map_err(registry_error)
}

fn deletes(server: &Server) -> Vec<u16> {
    requests(server, "DELETE", "/blobs/uploads/").iter().map(|request| request.status).collect()
}

#[test]
fn reg_r02_an_upload_that_is_begun_anew_is_cancelled() {
    for fault in [
        Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(100_000)),
        Fault::status("PUT", "/blobs/uploads/", 500),
        Fault::status("PUT", "/blobs/uploads/", 416),
    ] {
        let server = Server::start();
        push_under(&server, [fault.clone()], options()).unwrap();
        assert_eq!(deletes(&server), [204], "{fault:?}");
        assert_eq!(server.open_uploads(), 0, "{fault:?}");
    }
}

#[test]
fn reg_r02_an_upload_that_was_closed_or_lost_is_not_cancelled() {
    let lost = br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}"#.to_vec();
    for fault in [
        Fault::on("PUT", "/blobs/uploads/", Act::ApplyThenReset),
        Fault::on("PUT", "/blobs/uploads/", Act::Answer { status: 404, headers: Vec::new(), body: lost }),
        Fault::status("HEAD", "/blobs/", 503),
    ] {
        let server = Server::start();
        push_under(&server, [fault.clone()], options()).unwrap();
        assert_eq!(deletes(&server), [0; 0], "{fault:?}");
    }
}

#[test]
fn reg_r08_an_upload_that_is_refused_or_given_up_is_cancelled() {
    for (status, class) in [(403, Class::Refused), (503, Class::Transient)] {
        let server = Server::start();
        let fault = Fault::status("PUT", "/blobs/uploads/", status).always();
        assert_eq!(push_under(&server, [fault], options()).unwrap_err().class(), class);
        assert!(!deletes(&server).is_empty(), "{status}");
        assert_eq!(server.open_uploads(), 0, "{status}");
    }
}

#[test]
fn reg_r05_a_registry_that_does_not_listen_to_the_end_of_an_upload_holds_nothing_up() {
    let silent = Fault::on("DELETE", "/blobs/uploads/", Act::Stall(Duration::from_secs(20))).always();
    let refusing = Fault::status("DELETE", "/blobs/uploads/", 405).always();
    for fault in [silent, refusing] {
        let server = Server::start();
        let started = Instant::now();
        let broken = Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(100_000));
        push_under(&server, [broken, fault.clone()], options()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(4), "{fault:?}: {:?}", started.elapsed());
    }
}

#[test]
fn reg_r06_an_upload_that_a_mount_opened_is_cancelled_where_the_blob_is_there() {
    let server = Server::with(Settings { mount: Mount::Accepted, ..Settings::default() });
    server.add_blob("app", &bytes("runtime", 300_000));
    let mut blob = layer("runtime", 300_000);
    blob.mount_from = vec![reference(&server, "catalog:1")];
    push_to(&client(), &image(vec![blob]), &reference(&server, "app:1")).unwrap();
    assert_eq!(deletes(&server), [204]);
    assert_eq!(server.open_uploads(), 0);
}

#[test]
fn reg_r06_what_was_mounted_or_sent_ahead_of_a_push_that_never_came_is_cancelled() {
    // Also where the registry has yet to say that the upload is open.
    for late in [0, 300] {
        let server = Server::with(Settings { mount: Mount::Accepted, ..Settings::default() });
        server.fault(Fault::on("POST", "/blobs/uploads/", Act::Late(Duration::from_millis(late))));
        let client = client();
        let mut blob = layer("runtime", 300_000);
        blob.mount_from = vec![reference(&server, "catalog:1")];
        let destination = client.destination_for(&reference(&server, "app:1"), [&blob]).unwrap();
        destination.mount_ahead([&blob]);
        let begun = Instant::now();
        while server.open_uploads() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "nothing was mounted");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(destination);
        assert_eq!(server.open_uploads(), 0, "{late}");
        assert_eq!(deletes(&server), [204], "{late}");
    }
}

#[test]
fn reg_r05_a_registry_that_never_says_that_an_upload_is_open_holds_nothing_up() {
    let server = Server::with(Settings { mount: Mount::Accepted, ..Settings::default() });
    server.fault(Fault::on("POST", "/blobs/uploads/", Act::Late(Duration::from_secs(20))));
    let client = client();
    let mut blob = layer("runtime", 300_000);
    blob.mount_from = vec![reference(&server, "catalog:1")];
    let destination = client.destination_for(&reference(&server, "app:1"), [&blob]).unwrap();
    destination.mount_ahead([&blob]);
    while server.open_uploads() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    drop(destination);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// Somebody who stops a push while the registry opens its first upload leaves none open.
#[test]
fn reg_r08_a_push_that_is_stopped_while_an_upload_is_opened_cancels_it() {
    let server = Server::start();
    server.fault(Fault::on("POST", "/blobs/uploads/", Act::Late(Duration::from_millis(500))));
    let stop = Arc::new(AtomicUsize::new(0));
    let pushed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.open_uploads() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(15, Ordering::SeqCst);
        });
        push_under(&server, [], Options { stop: Some(Arc::clone(&stop)), ..options() })
    });
    assert!(matches!(pushed.unwrap_err(), RegistryError::Stopped { signal: 15 }));
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(deletes(&server), [204]);
}

#[test]
fn reg_s01_an_upload_on_another_host_is_not_cancelled_there() {
    let elsewhere = Server::start();
    let other_host = format!("http://{}", elsewhere.host());
    let server = Server::with(Settings { location: Location::OtherHost, other_host, ..Settings::default() });
    push_under(&server, [], options()).unwrap_err();
    assert!(!requests(&elsewhere, "PUT", "").is_empty());
    assert_eq!((deletes(&elsewhere), deletes(&server)), (Vec::new(), Vec::new()));
}

/// The layer is 16 MiB, of which 5 arrive each time; two tries are all there are.
fn push_in_steps(status: Status, cut: u64) -> (Server, Result<PushReport, RegistryError>) {
    let server = Server::with(Settings { status, ..Settings::default() });
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(cut)).times(3));
    let retry = RetryPolicy { attempts: 2, ..options().retry };
    let client = Client::new(Options { parallel: 1, retry, ..options() }).unwrap();
    let image = image(vec![layer("large", 16 << 20)]);
    let pushed = push_to(&client, &image, &reference(&server, "app:1")).map_err(registry_error);
    (server, pushed)
}

#[test]
fn reg_r02_an_upload_that_gets_on_may_break_off_more_often_than_a_request_is_tried() {
    let (server, pushed) = push_in_steps(Status::Told, 5 << 20);
    pushed.unwrap();
    let sent: u64 = requests(&server, "PUT", "/blobs/uploads/").iter().map(|put| put.body).sum();
    assert!(sent < 20 << 20, "{sent} bytes for 16 MiB");
    assert_eq!(server.open_uploads(), 0);
}

#[test]
fn reg_r02_an_upload_that_does_not_get_on_is_given_up_after_its_tries() {
    for (status, cut) in [(Status::Told, 1 << 20), (Status::Unknown, 5 << 20)] {
        let (server, pushed) = push_in_steps(status, cut);
        assert_eq!(pushed.unwrap_err().class(), Class::Transient, "{status:?} {cut}");
        assert_eq!(requests(&server, "PUT", "/blobs/uploads/").len(), 2, "{status:?} {cut}");
    }
}

#[test]
fn a_push_that_is_stopped_ends_at_once_and_cancels_its_uploads() {
    for fault in [
        Fault::on("PUT", "/blobs/uploads/", Act::Stall(Duration::from_secs(20))).always(),
        Fault::retry_after("PUT", "/blobs/uploads/", 503, "20").always(),
    ] {
        let server = Server::start();
        let stop = Arc::new(AtomicUsize::new(0));
        let signal = Arc::clone(&stop);
        let begun = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while server.open_uploads() == 0 && begun.elapsed() < Duration::from_secs(5) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::thread::sleep(Duration::from_millis(200));
                signal.store(15, Ordering::SeqCst);
            });
            push_under(&server, [fault.clone()], Options { stop: Some(stop), ..options() }).unwrap_err()
        });
        assert!(matches!(error, RegistryError::Stopped { signal: 15 }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(server.manifest("app", "1"), None);
        assert_eq!(server.open_uploads(), 0, "{fault:?}");
    }
}

#[test]
fn a_push_that_nobody_stops_goes_on() {
    let stop = Some(Arc::new(AtomicUsize::new(0)));
    push_under(&Server::start(), [], Options { stop, ..options() }).unwrap();
}
