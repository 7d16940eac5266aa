//! A Chromium that a test drives, over its debugging protocol on a pipe: messages of JSON, each ended by a NUL.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take. Ten thousand releases take a debug build's machine a few seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The names that the program goes by.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Listens on descriptor 3 and answers on 4, as it does for `--remote-debugging-pipe`.
const PLUMBING: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A page in a browser of its own, which ends with it.
pub(crate) struct Page {
    browser: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    session: Value,
    last_id: u64,
    runs_scripts: bool,
    events: Vec<Value>,
    _profile: TempDir,
}

/// A key as the protocol describes it.
struct Key {
    code: &'static str,
    number: u32,
    text: &'static str,
}

impl Page {
    /// An empty page, 1280 pixels wide; `None`, said aloud, where there is no Chromium.
    pub(crate) fn new() -> Option<Self> {
        let Some(program) = NAMES.into_iter().find(|name| is_there(name)) else {
            let missing = "no Chromium: it is in Debian's package chromium";
            assert!(std::env::var_os("CHARTGATE_REQUIRE_BROWSER").is_none(), "{missing}");
            // Not to the test's captured output: a skip must be seen.
            let _ = writeln!(std::io::stderr(), "skipped: {missing}");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Command::new("sh")
            .args(["-c", PLUMBING, program, "--remote-debugging-pipe", "--headless", "--disable-gpu"])
            // The page is ours, and a container seldom lets a sandbox be made.
            .arg("--no-sandbox")
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let requests = browser.stdin.take().unwrap();
        let answers = BufReader::new(browser.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0) {
                let Ok(message) = message else { break };
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let (session, events) = (Value::Null, Vec::new());
        let mut page = Self {
            browser,
            requests,
            messages,
            session,
            last_id: 0,
            runs_scripts: true,
            events,
            _profile: profile,
        };
        let target = page.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].take();
        let attached = page.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        page.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.resize(1280, 800);
        Some(page)
    }

    /// Goes to a file, with a fragment such as `#phase=1`, and waits until it has loaded. Says how long that took.
    pub(crate) fn open(&mut self, file: &Path, fragment: &str) -> Duration {
        // Only another fragment would be no navigation.
        self.call("Page.navigate", &json!({"url": "about:blank"}));
        self.wait_for("Page.loadEventFired");
        let start = Instant::now();
        self.call("Page.navigate", &json!({"url": format!("file://{}{fragment}", file.display())}));
        self.wait_for("Page.loadEventFired");
        self.settle();
        start.elapsed()
    }

    /// The value of an expression, or of its promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {:#}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The text of the first element of a selector, as it is seen.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let texts = self.texts(selector);
        texts.into_iter().next().unwrap_or_else(|| panic!("nothing is {selector}"))
    }

    /// The texts of all elements of a selector.
    pub(crate) fn texts(&mut self, selector: &str) -> Vec<String> {
        let all = format!("[...document.querySelectorAll({})].map(it => it.innerText)", json!(selector));
        serde_json::from_value(self.evaluate(&all)).unwrap()
    }

    /// The same, each in one line.
    pub(crate) fn lines(&mut self, selector: &str) -> Vec<String> {
        let texts = self.texts(selector).into_iter();
        texts.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// Clicks the middle of the first element of a selector, as a mouse does.
    pub(crate) fn click(&mut self, selector: &str) {
        let find = format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{block: 'nearest', behavior: 'instant'}});
             const {{x, y, width, height}} = it.getBoundingClientRect(); return [x + width / 2, y + height / 2]; }})()",
            json!(selector)
        );
        let at = self.evaluate(&find);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
        self.settle();
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let Key { code, number, text } = key_of(key);
        let event = |kind| json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text});
        self.call("Input.dispatchKeyEvent", &event("keyDown"));
        let mut up = event("keyUp");
        up["text"] = "".into();
        self.call("Input.dispatchKeyEvent", &up);
        self.settle();
    }

    /// Types a text into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
        self.settle();
    }

    /// Sets the size of the window, in pixels of CSS.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Sets what `prefers-color-scheme` says.
    pub(crate) fn set_scheme(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
        self.settle();
    }

    /// Sets whether pages may run their scripts.
    pub(crate) fn allow_scripts(&mut self, allowed: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !allowed}));
        self.runs_scripts = allowed;
    }

    /// A picture of the window, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        self.settle();
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// The page on paper, as PDF.
    pub(crate) fn print(&mut self) -> Vec<u8> {
        let printed = self.call("Page.printToPDF", &json!({"printBackground": false}));
        BASE64_STANDARD.decode(printed["data"].as_str().unwrap()).unwrap()
    }

    /// What a calm page does not have: exceptions, messages on the console, refusals by its policy, and requests for
    /// anything but itself and what it holds.
    pub(crate) fn complaints(&mut self) -> Vec<Value> {
        self.settle();
        let is_complaint = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown"
            | "Runtime.consoleAPICalled"
            | "Log.entryAdded"
            | "Page.javascriptDialogOpening" => true,
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                let is_itself = event["params"]["type"] == "Document" && url.starts_with("file://");
                !(is_itself || url == "about:blank" || url.starts_with("data:"))
            }
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(|event| event["params"].clone()).collect()
    }

    /// Waits for two frames: what a script made is drawn then.
    fn settle(&mut self) {
        if !self.runs_scripts {
            return;
        }
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            request["sessionId"] = self.session.clone();
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        let mut answer = self.receive(|message| message["id"] == id);
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    fn wait_for(&mut self, event: &str) {
        self.receive(|message| message["method"] == event);
    }

    /// The first message that is looked for; the events before it are kept.
    fn receive(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).expect("the browser answers in time");
            if is_it(&message) {
                return message;
            }
            self.events.push(message);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It ends by itself when nobody holds the other end of the pipe; to kill the one process that was started would
        // leave the others that it has.
        self.session = Value::Null;
        let _ = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.browser.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn key_of(key: &str) -> Key {
    let keys = HashMap::from([
        ("Enter", Key { code: "Enter", number: 13, text: "\r" }),
        ("Escape", Key { code: "Escape", number: 27, text: "" }),
        ("Tab", Key { code: "Tab", number: 9, text: "" }),
        ("ArrowDown", Key { code: "ArrowDown", number: 40, text: "" }),
        ("ArrowUp", Key { code: "ArrowUp", number: 38, text: "" }),
        ("End", Key { code: "End", number: 35, text: "" }),
        ("Home", Key { code: "Home", number: 36, text: "" }),
        ("/", Key { code: "Slash", number: 191, text: "/" }),
    ]);
    keys.into_iter().find(|(name, _)| *name == key).unwrap_or_else(|| panic!("no key is {key}")).1
}
