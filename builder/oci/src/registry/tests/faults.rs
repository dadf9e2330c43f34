//! A registry that fails, and a client that does not give up too early or too late.

use super::*;

/// Pushes an image with one layer that is worth asking for, under a fault.
fn push_under(fault: Fault) -> (Server, Result<PushReport, RegistryError>) {
    let server = Server::start();
    server.fault(fault);
    let image = image(vec![layer("a", 1_500_000)]);
    let result = push_to(&client(), &image, &reference(&server, "app:1")).map_err(registry_error);
    if result.is_ok() {
        assert_stored(&server, "app", "1", &image);
    }
    (server, result)
}

#[test]
fn what_is_transient_is_repeated_wherever_it_happens() {
    for (method, path) in [
        ("HEAD", "/manifests/"),
        ("HEAD", "/blobs/"),
        ("POST", "/blobs/uploads/"),
        ("PUT", "/blobs/uploads/"),
        ("PUT", "/manifests/"),
    ] {
        for status in [408, 425, 429, 500, 502, 503, 504] {
            let (_, result) = push_under(Fault::status(method, path, status).times(2));
            result.unwrap_or_else(|error| panic!("{method} {path} {status}: {error}"));
        }
    }
}

#[test]
fn reg_r08_what_is_permanent_is_refused_at_once_in_the_registrys_words() {
    let permanent = [400, 401, 403, 404, 405, 413, 415];
    for status in permanent {
        let (server, result) = push_under(Fault::status("PUT", "/manifests/", status).always());
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{status}");
        let expected = format!(
            "PUT http://{}/v2/app/manifests/1: {status} UNKNOWN: switched on by the test",
            server.host()
        );
        assert_eq!(error.to_string(), expected);
        let puts = requests(&server, "PUT", "/manifests/").len();
        // A 401 is worth one more try with new authentication.
        assert_eq!(puts, if status == 401 { 2 } else { 1 }, "{status}");
    }
    println!(
        "figure REG-R08: {} statuses refused in the registry's words, none tried again",
        permanent.len()
    );
}

#[test]
fn a_registry_that_stays_broken_is_given_up() {
    let (server, result) = push_under(Fault::status("POST", "/blobs/uploads/", 503).always());
    assert_eq!(result.unwrap_err().class(), Class::Transient);
    assert!(server.log().len() < 40);
    assert_eq!(server.manifest("app", "1"), None);
}

#[test]
fn reg_r02_a_reset_at_any_byte_of_an_upload_starts_the_blob_again() {
    for at in [0, 1, 511, 65_536, 1_048_576] {
        let (server, result) = push_under(Fault::on("PUT", "/blobs/uploads/", Act::ResetAfter(at)).times(3));
        result.unwrap_or_else(|error| panic!("at {at}: {error}"));
        assert!(server.log().iter().any(|request| request.status == 0), "at {at}");
    }
}

#[test]
fn what_was_done_before_the_connection_died_is_not_done_again() {
    let (server, result) = push_under(Fault::on("PUT", "/manifests/", Act::ApplyThenReset));
    result.unwrap();
    assert_eq!(requests(&server, "PUT", "/manifests/").len(), 1);

    let (server, result) = push_under(Fault::on("PUT", "/blobs/uploads/", Act::ApplyThenReset));
    result.unwrap();
    let puts = requests(&server, "PUT", "/blobs/uploads/");
    assert_eq!(puts.len(), 2, "one PUT for each of two blobs");
}

#[test]
fn a_lost_upload_is_begun_anew_without_waiting() {
    let lost = br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}"#.to_vec();
    let act = Act::Answer { status: 404, headers: Vec::new(), body: lost };
    let (_, result) = push_under(Fault::on("PUT", "/blobs/uploads/", act));
    result.unwrap();
}

#[test]
fn an_upload_that_is_always_lost_is_given_up_at_once() {
    for status in [404, 416] {
        let started = Instant::now();
        let (server, result) = push_under(Fault::status("PUT", "/blobs/uploads/", status).always());
        assert_eq!(result.unwrap_err().class(), Class::Refused);
        assert!(requests(&server, "PUT", "/blobs/uploads/").len() <= 10);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}

/// A handful of faults, chosen by a seed.
fn random_faults(server: &Server, seed: u64) {
    let places = [
        ("HEAD", "/blobs/"),
        ("POST", "/blobs/uploads/"),
        ("PUT", "/blobs/uploads/"),
        ("PUT", "/manifests/"),
    ];
    let mut state = seed;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..6 {
        let (method, path) = places[next(places.len())];
        let fault = match next(4) {
            0 => Fault::status(method, path, 503),
            1 => Fault::status(method, path, 429),
            2 => Fault::on(method, path, Act::ResetAfter(next(400_000) as u64)),
            _ => Fault::on(method, path, Act::ApplyThenReset),
        };
        server.fault(fault.after(next(4)));
    }
}

#[test]
fn reg_r09_pushes_survive_faults_at_random_with_less_than_twice_the_requests() {
    let (mut made, mut needed) = (0, 0);
    for seed in 0..40 {
        let image = image(vec![layer("a", 400_000), layer("b", 300_000), layer("c", 10)]);
        let push_once = |server: &Server| {
            push_to(&client(), &image, &reference(server, "app:1"))
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert_stored(server, "app", "1", &image);
            server.log().len()
        };
        needed += push_once(&Server::start());
        let server = Server::start();
        random_faults(&server, seed);
        made += push_once(&server);
    }
    assert!(made <= 2 * needed, "{made} requests instead of {needed}");
}

#[test]
fn reg_r04_a_401_in_the_middle_renews_the_token_once_and_sends_the_body_again() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"test\"", server.host());
    for (headers, tokens) in [(vec![("www-authenticate", challenge)], 2), (Vec::new(), 2)] {
        let act = Act::Answer { status: 401, headers, body: Vec::new() };
        server.clear_log();
        server.fault(Fault::on("PUT", "/blobs/uploads/", act));
        let image = image(vec![layer(&format!("layer {}", server.tags("app").len()), 1_500_000)]);
        let tag = format!("app:{}", server.tags("app").len());
        push_to(&logged_in(&server), &image, &reference(&server, &tag)).unwrap();
        assert_eq!(requests(&server, "GET", "/token").len(), tokens);
        println!("figure REG-R04: {} token renewed in the middle of a push", tokens - 1);
        assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 2);
    }
}

#[test]
fn reg_r03_retry_after_is_obeyed_for_all_requests_to_the_registry() {
    let server = Server::start();
    server.fault(Fault::retry_after("POST", "/blobs/uploads/", 429, "1"));
    let started = Instant::now();
    push_to(&client(), &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
    println!("figure REG-R03: waited {:.2} s where 1 s was asked for", took.as_secs_f64());
}

#[test]
fn reg_r03_a_rate_limit_outlasts_the_usual_number_of_tries_and_is_told() {
    let server = Server::start();
    server.fault(Fault::retry_after("PUT", "/manifests/", 429, "1").times(3));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let retry = RetryPolicy { attempts: 2, ..options().retry };
    let on_wait: OnWait = Arc::new(move |wait: &Wait| sink.lock().unwrap().push(wait.reason.clone()));
    let client = Client::new(Options { retry, on_wait: Some(on_wait), ..options() }).unwrap();
    push_to(&client, &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 3);
    assert!(told[0].contains("429"), "{told:?}");
}

#[test]
fn a_403_that_names_a_time_is_a_rate_limit() {
    let server = Server::start();
    server.fault(Fault::retry_after("PUT", "/manifests/", 403, "1"));
    push_to(&client(), &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    assert_eq!(requests(&server, "PUT", "/manifests/").len(), 2);
}

#[test]
fn reg_r05_silence_is_given_up_and_tried_again() {
    let server = Server::start();
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::Stall(Duration::from_secs(20))));
    let timeouts = Timeouts { silence: Duration::from_millis(500), ..Timeouts::default() };
    let client = Client::new(Options { timeouts, ..options() }).unwrap();
    let started = Instant::now();
    let image = image(vec![layer("a", 1_500_000)]);
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10));
    println!(
        "figure REG-R05: pushed in {:.1} s past 20 s of silence, of which 0.5 s are borne",
        took.as_secs_f64()
    );
    assert_stored(&server, "app", "1", &image);
}

#[test]
fn an_upload_over_a_slow_link_is_given_more_time_with_each_try() {
    let server = Server::start();
    // Longer than the usual patience each time, shorter than the doubled one of the third try.
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::Stall(Duration::from_millis(700))).always());
    let timeouts = Timeouts { silence: Duration::from_millis(300), ..Timeouts::default() };
    let client = Client::new(Options { timeouts, parallel: 1, ..options() }).unwrap();
    push_to(&client, &image(vec![layer("a", 1_500_000)]), &reference(&server, "app:1")).unwrap();
}

#[test]
fn a_repository_that_may_not_be_looked_into_can_still_be_pushed_to() {
    let (server, result) = push_under(Fault::status("HEAD", "/manifests/", 403));
    result.unwrap();
    assert_eq!(server.tags("app"), ["1"]);
}

#[test]
fn a_registry_that_is_not_there_is_transient_and_given_up_soon() {
    let gone = Server::start();
    let target = reference(&gone, "app:1");
    drop(gone);
    let started = Instant::now();
    let error = registry_error(push_to(&client(), &image(vec![layer("a", 10)]), &target).unwrap_err());
    assert_eq!(error.class(), Class::Transient);
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn reg_s07_a_registry_that_stores_something_else_is_found_out() {
    let wrong = digest_of(b"something else");
    for path in ["/blobs/uploads/", "/manifests/"] {
        let act = Act::Header("docker-content-digest", wrong.clone());
        let (_, result) = push_under(Fault::on("PUT", path, act).always());
        assert_eq!(result.unwrap_err().class(), Class::Mismatch, "{path}");
    }
}

#[test]
fn after_a_failure_no_further_blob_is_begun() {
    let server = Server::start();
    server.fault(Fault::status("POST", "/blobs/uploads/", 403).always());
    let layers = (0..50).map(|n| layer(&format!("layer {n}"), 10)).collect();
    push_to(&client(), &image(layers), &reference(&server, "app:1")).unwrap_err();
    assert!(requests(&server, "POST", "/blobs/uploads/").len() <= 8);
}
