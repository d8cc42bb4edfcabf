//! A real Chromium, told what to do by its `DevTools` protocol, with one page open.
//!
//! It is spoken to over a pair of pipes (`--remote-debugging-pipe`: messages of JSON, each ended by a zero byte), so that there
//! is no port to be found and no library between the test and the browser. It runs in the network namespace of the thread that
//! starts it.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use portsyncd::lab::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::LIMIT;

/// Under what names it is known.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// No sandbox, since that does not work as root; nothing that asks the outside for anything.
const FLAGS: [&str; 13] = [
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-first-run",
    "--remote-debugging-pipe",
    "about:blank",
];

pub struct Browser {
    process: Child,
    input: RefCell<ChildStdin>,
    output: Receiver<Value>,
    next: Cell<u64>,
    session: String,
    events: RefCell<Vec<Value>>,
    profile: TempDir,
}

/// A scheme of colours that the user prefers.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// Starts it with an empty page.
    pub fn start() -> Self {
        let profile = TempDir::new().unwrap();
        // The shell moves the pipes to where the browser expects them; a program without `unsafe` cannot.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 >&2"])
            .arg(program())
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .args(FLAGS)
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(profile.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let input = RefCell::new(process.stdin.take().unwrap());
        let mut reader = BufReader::new(process.stdout.take().unwrap());
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                let parsed = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
                if parsed.is_ok_and(|value| sender.send(value).is_err()) {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            input,
            output,
            next: Cell::new(1),
            session: String::new(),
            events: RefCell::default(),
            profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.size(1280, 900);
        browser
    }

    /// Calls a method of the protocol; gives its result.
    pub fn call(&self, method: &str, params: &Value) -> Value {
        let id = self.next.replace(self.next.get() + 1);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.borrow_mut().write_all(&bytes).unwrap_or_else(|error| self.fail(method, &error.to_string()));
        loop {
            let answer = self.output.recv_timeout(LIMIT).unwrap_or_else(|error| self.fail(method, &error.to_string()));
            if answer["id"] != id {
                self.events.borrow_mut().push(answer);
            } else if let Some(error) = answer.get("error") {
                self.fail(method, &error.to_string());
            } else {
                return answer["result"].clone();
            }
        }
    }

    fn fail(&self, what: &str, reason: &str) -> ! {
        let log = fs::read_to_string(self.profile.path().join("log")).unwrap_or_default();
        panic!("the browser, at {what}: {reason}; its log: {log}")
    }

    pub fn open(&self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(answer.get("errorText"), None, "{url}");
    }

    /// The value of an expression of `JavaScript` in the page.
    pub fn eval(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &params);
        if let Some(thrown) = answer.get("exceptionDetails") {
            self.fail(expression, &thrown.to_string());
        }
        answer["result"]["value"].take()
    }

    /// Waits for an expression to have this value.
    pub fn expect(&self, expression: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let mut seen = Value::Null;
        let waited = wait::until(expression, LIMIT, || {
            seen = self.eval(expression);
            seen == wanted
        });
        assert!(waited.is_ok(), "{expression} is {seen}, not {wanted}; what went wrong: {:?}", self.problems());
    }

    /// What the element that the selector finds says.
    pub fn text(&self, selector: &str) -> String {
        let found = self.eval(&format!("document.querySelector({selector:?})?.textContent"));
        found.as_str().unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    /// Presses and releases a key.
    pub fn press(&self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Moves the mouse to the middle of an element.
    pub fn point(&self, selector: &str) {
        let middle = self.eval(&format!(
            "(() => {{ const box = document.querySelector({selector:?}).getBoundingClientRect(); \
             return {{ type: 'mouseMoved', x: box.x + box.width / 2, y: box.y + box.height / 2 }}; }})()"
        ));
        self.call("Input.dispatchMouseEvent", &middle);
    }

    /// The size of the window.
    pub fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the user prefers.
    pub fn prefer(&self, scheme: Scheme, reduced_motion: bool) {
        let scheme = if matches!(scheme, Scheme::Dark) { "dark" } else { "light" };
        let motion = if reduced_motion { "reduce" } else { "no-preference" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the whole page, as the base64 of a PNG.
    pub fn picture(&self) -> String {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        self.call("Page.captureScreenshot", &params)["data"].as_str().unwrap().to_owned()
    }

    /// Each address that was asked for.
    pub fn requests(&self) -> Vec<String> {
        self.seen("Network.requestWillBeSent", |event| Some(event["request"]["url"].as_str()?.to_owned()))
    }

    /// Errors and warnings of the console, what was thrown and not caught, what the page's policy forbade, what failed to load.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.seen("Runtime.exceptionThrown", |event| Some(event["exceptionDetails"].to_string()));
        problems.extend(self.seen("Runtime.consoleAPICalled", |event| {
            ["error", "warning", "assert"].iter().any(|kind| event["type"] == *kind).then(|| event["args"].to_string())
        }));
        problems.extend(self.seen("Log.entryAdded", |event| {
            let entry = &event["entry"];
            ["error", "warning"].iter().any(|level| entry["level"] == *level).then(|| entry.to_string())
        }));
        problems
    }

    /// What is read off all events of a kind so far.
    fn seen(&self, method: &str, read: impl Fn(&Value) -> Option<String>) -> Vec<String> {
        // Whatever came before is read by the time this is answered.
        self.call("Page.enable", &json!({}));
        let events = self.events.borrow();
        events.iter().filter(|event| event["method"] == method).filter_map(|event| read(&event["params"])).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked, it ends its own children too. Each of these fails only if it has ended already.
        let _ = self.input.borrow_mut().write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = wait::until("the browser's end", LIMIT, || !matches!(self.process.try_wait(), Ok(None)));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = PROGRAMS.iter().flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)));
    let mut found = found.filter(|program| program.is_file());
    found.next().unwrap_or_else(|| panic!("no {} on the PATH: apt-get install chromium", PROGRAMS.join(", ")))
}
