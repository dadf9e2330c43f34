//! What real registries make of the specification.

use lapstrake_fixtures::registry::{AUTHORITY, Certificate, Chunks, Status};

use super::following::push_growing;
use super::*;

/// Pushes an image whose layer is sent while it is made, and checks that it is there.
fn push_growing_to(settings: &Settings) -> Server {
    let server = Server::with(settings.clone());
    let (image, pushed) = push_growing(&server, 5_000_000);
    pushed.unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    assert_stored(&server, "app", "1", &image);
    server
}

/// How often the layer was closed, and how often it was sent whole.
fn closed_and_whole(server: &Server) -> (usize, usize) {
    let puts = requests(server, "PUT", "/blobs/uploads/");
    let whole = puts.iter().filter(|put| put.body > 1_000_000).count();
    // The config is closed once as well.
    (puts.len() - 1, whole)
}

#[test]
fn reg_r06_a_registry_without_chunks_gets_the_layer_whole() {
    for status in [404, 405, 400] {
        let server = push_growing_to(&Settings { chunks: Chunks::Refused(status), ..Settings::default() });
        assert_eq!(closed_and_whole(&server), (1, 1), "{status}");
        assert_eq!(requests(&server, "PATCH", "").len(), 1, "{status}");
    }
}

#[test]
fn reg_r06_a_registry_that_wants_large_chunks_gets_one_that_is_large_enough_or_the_layer_whole() {
    for status in [416, 400] {
        let enough = Chunks::AtLeast { bytes: 1_000_000, status };
        let server = push_growing_to(&Settings { chunks: enough, ..Settings::default() });
        assert_eq!(closed_and_whole(&server), (1, 0), "{status}");
        let more = Chunks::AtLeast { bytes: 50_000_000, status };
        let server = push_growing_to(&Settings { chunks: more, ..Settings::default() });
        assert_eq!(closed_and_whole(&server), (1, 1), "{status}");
    }
}

#[test]
fn reg_r06_a_registry_that_keeps_no_chunk_although_it_takes_them_is_found_out_before_the_upload_is_closed() {
    let server = push_growing_to(&Settings { chunks: Chunks::Dropped, ..Settings::default() });
    assert_eq!(closed_and_whole(&server), (1, 1));
    assert_eq!(server.open_uploads(), 0);
}

#[test]
fn reg_r06_a_registry_that_keeps_the_first_chunk_alone_gets_one() {
    let server = push_growing_to(&Settings { chunks: Chunks::FirstOnly, ..Settings::default() });
    assert_eq!(closed_and_whole(&server), (1, 0));
    assert_eq!(requests(&server, "PATCH", "").len(), 1);
}

#[test]
fn reg_r06_a_chunk_that_is_created_instead_of_accepted_is_not_sent_again() {
    let server = push_growing_to(&Settings { chunks: Chunks::Created, ..Settings::default() });
    assert_eq!(closed_and_whole(&server), (1, 0));
}

#[test]
fn reg_r06_an_upload_that_broke_off_arrives_whatever_the_registry_makes_of_chunks() {
    let kinds = [
        Chunks::Refused(404),
        Chunks::Refused(405),
        Chunks::Refused(400),
        Chunks::AtLeast { bytes: 1 << 30, status: 416 },
        Chunks::FirstOnly,
        Chunks::Dropped,
        Chunks::Created,
    ];
    for chunks in kinds {
        for status in [Status::Told, Status::Frozen, Status::Unknown] {
            let server = Server::with(Settings { chunks, status, ..Settings::default() });
            server.fault(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(5 << 20)));
            let image = image(vec![layer("a", 7 << 20)]);
            let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
            push_to(&client, &image, &reference(&server, "app:1")).unwrap();
            assert_stored(&server, "app", "1", &image);
        }
    }
}

#[test]
fn reg_r06_uploads_are_found_wherever_the_registry_puts_them() {
    for location in [Location::Relative, Location::Absolute, Location::WithQuery] {
        push_growing_to(&Settings { location, ..Settings::default() });
    }
}

#[test]
fn reg_r06_a_plain_location_of_a_registry_behind_tls_is_followed_over_tls() {
    let server = Server::with(Settings {
        certificate: Some(Certificate::Localhost),
        location: Location::Absolute,
        ..Settings::default()
    });
    let trust = Trust { bundle: None, extra: vec![AUTHORITY.to_vec()] };
    let secure = vec![server.host().to_owned()];
    let client = Client::new(Options { secure, trust, ..options() }).unwrap();
    let image = image(vec![layer("a", 300_000)]);
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    assert_eq!(requests(&server, "PUT", "/blobs/uploads/").len(), 2);
}

#[test]
fn reg_r06_a_plain_location_on_another_host_is_refused_where_the_registry_has_tls() {
    let other = Server::start();
    let server = Server::with(Settings {
        certificate: Some(Certificate::Localhost),
        location: Location::OtherHost,
        // The same machine by another name.
        other_host: format!("http://{}", other.host().replace("127.0.0.1", "localhost")),
        ..Settings::default()
    });
    let trust = Trust { bundle: None, extra: vec![AUTHORITY.to_vec()] };
    let secure = vec![server.host().to_owned()];
    let client = Client::new(Options { secure, trust, ..options() }).unwrap();
    let target = reference(&server, "app:1");
    let error = registry_error(push_to(&client, &image(vec![layer("a", 300_000)]), &target).unwrap_err());
    assert!(matches!(error, RegistryError::Forbidden { .. }), "{error}");
    assert!(other.log().is_empty());
}

#[test]
fn reg_r06_an_immutable_tag_is_not_written_where_it_says_the_same() {
    let server = Server::with(Settings { immutable_tags: true, ..Settings::default() });
    let (first, target) = (image(vec![layer("a", 10)]), reference(&server, "app:1"));
    push_to(&client(), &first, &target).unwrap();
    // The answer of the first push got lost: the tag is there, and will not be written again.
    server.fault(Fault::status("GET", "/manifests/", 404));
    server.fault(Fault::status("HEAD", "/manifests/", 404));
    push_to(&client(), &first, &target).unwrap();
    let error = registry_error(push_to(&client(), &image(vec![layer("b", 10)]), &target).unwrap_err());
    assert_eq!((error.class(), error.status()), (Class::Refused, Some(400)));
}

#[test]
fn reg_r06_a_repository_that_nobody_has_made_is_named() {
    let server = Server::with(Settings { missing: vec!["team/app".into()], ..Settings::default() });
    let target = reference(&server, "team/app:1");
    let started = Instant::now();
    let error = registry_error(push_to(&client(), &image(vec![layer("a", 300_000)]), &target).unwrap_err());
    let url = format!("http://{}/v2/team/app/blobs/uploads/", server.host());
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` has no repository `team/app`: create it before the first push (POST {url}: 404 NAME_UNKNOWN: \
             repository name not known to registry)",
            server.host()
        )
    );
    assert_eq!((error.class(), error.status()), (Class::Refused, Some(404)));
    assert!(started.elapsed() < Duration::from_secs(2));
    push_to(&client(), &image(vec![layer("a", 300_000)]), &reference(&server, "team/other:1")).unwrap();
}

#[test]
fn reg_r06_a_registry_that_knows_no_referrers_takes_an_image_and_what_refers_to_it() {
    let server = Server::with(Settings { referrers: false, ..Settings::default() });
    let subject = image(vec![layer("a", 10)]);
    push_to(&client(), &subject, &reference(&server, "app:1")).unwrap();
    let config = Document::from_bytes(MediaType::EmptyJSON, b"{}".to_vec());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(),
        "artifactType": "application/example", "config": config.descriptor(),
        "layers": [], "subject": subject.manifest.descriptor(),
    });
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    let blob = Blob::bytes(MediaType::EmptyJSON, b"{}".to_vec());
    let shipment = Shipment::new([blob], Vec::new(), manifest.clone());
    let client = client();
    let destination = client.destination(&reference(&server, "app:about"), &[]).unwrap();
    push(shipment, &destination, &mut |_| {}).unwrap();
    assert_eq!(server.manifest("app", "about").unwrap(), manifest.bytes());
    assert!(requests(&server, "GET", "/referrers/").is_empty());
}

#[test]
fn reg_r06_a_mount_that_is_refused_in_any_way_becomes_an_upload_and_one_that_is_not_is_none() {
    let kinds = [
        (Mount::Yes, (1, 1)),
        (Mount::Accepted, (0, 2)),
        (Mount::Refused(400), (0, 2)),
        (Mount::Refused(401), (0, 2)),
        (Mount::Refused(403), (0, 2)),
        (Mount::Refused(404), (0, 2)),
        (Mount::Refused(405), (0, 2)),
    ];
    println!("figure REG-R06: {} answers to a mount", kinds.len());
    for (mount, expected) in kinds {
        let server = Server::with(Settings { mount, ..Settings::default() });
        server.add_blob("catalog", &bytes("runtime", 200_000));
        let mut blob = layer("runtime", 200_000);
        blob.mount_from = vec![reference(&server, "catalog:1")];
        let image = image(vec![blob]);
        let report = push_to(&client(), &image, &reference(&server, "app:1")).unwrap();
        assert_stored(&server, "app", "1", &image);
        assert_eq!((report.totals().mounted, report.totals().uploaded), expected, "{mount:?}");
        assert_eq!(server.open_uploads(), 0, "{mount:?}");
    }
}

#[test]
fn reg_r06_a_403_about_the_rate_is_waited_out_and_any_other_is_a_refusal() {
    let refusal = |body: &str| Act::Answer { status: 403, headers: Vec::new(), body: body.into() };
    let limits = [
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        r#"{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit"}]}"#,
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
    ];
    for body in limits {
        for (method, path) in
            [("POST", "/blobs/uploads/"), ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/")]
        {
            let server = Server::start();
            server.fault(Fault::on(method, path, refusal(body)).times(2));
            let image = image(vec![layer("a", 10)]);
            push_to(&client(), &image, &reference(&server, "app:1")).unwrap();
            assert_stored(&server, "app", "1", &image);
        }
    }
    let server = Server::start();
    let body = r#"{"errors":[{"code":"DENIED","message":"permission_denied: write_package"}]}"#;
    server.fault(Fault::on("POST", "/blobs/uploads/", refusal(body)).always());
    let target = reference(&server, "app:1");
    let error = registry_error(push_to(&client(), &image(vec![layer("a", 10)]), &target).unwrap_err());
    assert_eq!(error.class(), Class::Refused);
}

/// Pushes an image with one layer that another repository has, under a fault of mounts.
fn push_mounting(fault: Option<Fault>) -> (Server, PushReport) {
    let server = Server::start();
    server.add_blob("catalog", &bytes("runtime", 200_000));
    let mut blob = layer("runtime", 200_000);
    blob.mount_from = vec![reference(&server, "catalog:1")];
    // Nothing else is asked for with this method until the mount is over.
    if let Some(fault) = fault {
        server.fault(fault);
    }
    let image = image(vec![blob]);
    let client = Client::new(Options { parallel: 1, ..options() }).unwrap();
    let report = push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    assert_eq!(server.open_uploads(), 0);
    (server, report)
}

#[test]
fn reg_r06_a_mount_that_fails_each_time_becomes_an_upload() {
    for act in [
        Fault::status("POST", "/blobs/uploads/", 500),
        Fault::status("POST", "/blobs/uploads/", 503),
        Fault::on("POST", "/blobs/uploads/", Act::ResetAfter(0)),
    ] {
        let (server, report) = push_mounting(Some(act.clone().times(3)));
        assert_eq!((report.totals().mounted, report.totals().uploaded), (0, 2), "{act:?}");
        let mounts = server.summary().iter().filter(|request| *request == "POST mount").count();
        assert_eq!(mounts, 3, "{act:?}");
    }
}

#[test]
fn reg_r06_a_mount_that_fails_at_first_is_a_mount() {
    let (_, report) = push_mounting(Some(Fault::status("POST", "/blobs/uploads/", 503).times(2)));
    assert_eq!((report.totals().mounted, report.totals().uploaded), (1, 1));
}
