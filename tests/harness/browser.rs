//! Debian's Chromium without a window, spoken to over its debugging pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A page in a browser of its own, which lives as long as the value.
pub(crate) struct Page {
    browser: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Page {
    /// Opens an empty page; nothing where there is no Chromium.
    pub(crate) fn open() -> Option<Self> {
        let profile = super::workspace::scratch();
        // The pipe of the protocol is file descriptors 3 and 4, which a shell can hand on.
        let line = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let data = format!("--user-data-dir={}", profile.path().display());
        let mut browser = Command::new("sh")
            .args(["-c", "command -v chromium >/dev/null || exit 0; eval \"$0\"", line])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--no-first-run",
                &data,
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "about:blank",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (browser.stdin.take().unwrap(), BufReader::new(browser.stdout.take().unwrap()));
        let mut page =
            Self { browser, input, output, session: None, next: 0, events: Vec::new(), _profile: profile };
        let target =
            page.try_call("Target.createTarget", &json!({"url": "about:blank"}))?["targetId"].clone();
        let attached = page.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        page.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Log", "Runtime"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(page)
    }

    /// Shows a file at a width, in the light or in the dark.
    pub(crate) fn show(&mut self, file: &Path, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
        self.events.clear();
        self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        let start = Instant::now();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            assert!(start.elapsed() < Duration::from_secs(30), "the page does not load");
            self.read();
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let call = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &call);
        assert!(answer.get("exceptionDetails").is_none(), "{answer:#}");
        answer["result"]["value"].clone()
    }

    /// Presses a key: `Tab`, `Enter`, `ArrowDown`.
    pub(crate) fn press(&mut self, key: &str) {
        let (key, text, code) = match key {
            "Tab" => ("Tab", "", 9),
            "Enter" => ("Enter", "\r", 13),
            "ArrowDown" => ("ArrowDown", "", 40),
            other => panic!("{other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types a text where the focus is.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Moves the focus with the tabulator until an expression about `document.activeElement` holds.
    pub(crate) fn tab_to(&mut self, holds: &str) {
        for _ in 0..60 {
            self.press("Tab");
            if self.value(holds) == true {
                return;
            }
        }
        panic!("the tabulator never leads to where `{holds}`");
    }

    /// What the page asked for besides itself, and what it complained about.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Events that are under way arrive before the answer.
        self.value("new Promise(done => setTimeout(() => done(0), 50))");
        let events = self.events.iter().filter_map(|event| match event["method"].as_str()? {
            "Network.requestWillBeSent" => {
                let request = &event["params"];
                (request["type"] != "Document").then(|| request["request"]["url"].to_string())
            }
            "Log.entryAdded" => Some(event["params"]["entry"]["text"].to_string()),
            "Runtime.exceptionThrown" => Some(event["params"].to_string()),
            "Runtime.consoleAPICalled" => Some(event["params"]["args"].to_string()),
            _ => None,
        });
        events.collect()
    }

    /// What the page looks like, as PNG in base64.
    pub(crate) fn picture(&mut self) -> String {
        self.call("Page.captureScreenshot", &json!({}))["data"].as_str().unwrap().to_owned()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|| panic!("the browser ended at `{method}`"))
    }

    /// The answer to a call; nothing where there is no browser.
    fn try_call(&mut self, method: &str, parameters: &Value) -> Option<Value> {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let id = self.next;
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).ok()?;
        loop {
            let answer = self.read()?;
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return Some(answer["result"].clone());
            }
        }
    }

    /// The next message; an event is kept.
    fn read(&mut self) -> Option<Value> {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).ok()?;
        bytes.pop()?;
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if message.get("method").is_some() {
            self.events.push(message.clone());
        }
        Some(message)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Both fail only when the browser has ended by itself.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
