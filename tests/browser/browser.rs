//! Headless Chromium, driven as a person drives it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::support::served::Served;

/// Runs before any script of a page: notes what must not happen.
const WATCH: &str = "
    window.violations = []; window.dialogs = [];
    document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));
    for (const name of ['alert', 'confirm', 'prompt']) window[name] = text => { dialogs.push(String(text)); };
";

/// Whom Chromium asks without being told to.
const OF_CHROMIUM: [&str; 3] = [".google.com", ".googleapis.com", ".gvt1.com"];

/// A browser. It ends with the test.
pub struct Browser {
    driver: Child,
    client: Client,
    origin: String,
    /// What was asked of any other host.
    pub elsewhere: Arc<Mutex<Vec<String>>>,
}

/// A command of the protocol that Chromium's developer tools speak.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

/// A proxy that answers nothing, and notes what it is asked for.
fn canary() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut head = BufReader::new(&stream);
            let _ = head.read_line(&mut line);
            // Chromium itself asks its maker for updates.
            if !OF_CHROMIUM.iter().any(|host| line.contains(host)) {
                noted.lock().unwrap().push(line.trim().to_owned());
            }
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, asked)
}

/// Starts the driver. Returns also where it listens. It takes a port of IPv4 that may be taken of IPv6, and then ends.
fn driver() -> (Child, u16) {
    let program = std::env::var("CHROMEDRIVER").unwrap_or("chromedriver".to_owned());
    for _ in 0..10 {
        let mut driver = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; it is in Debian's package chromium-driver")
            });
        let mut stdout = BufReader::new(driver.stdout.take().unwrap());
        let mut line = String::new();
        while stdout.read_line(&mut line).unwrap() > 0 {
            let port = line.trim().rsplit_once(" on port ");
            let port = port.and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
            if let Some(port @ 1..) = port {
                std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
                return (driver, port);
            }
            line.clear();
        }
        let _ = driver.wait();
    }
    panic!("{program} does not start");
}

impl Browser {
    /// Starts one, and lets it in.
    pub async fn enter(served: &Served) -> Self {
        Self::enter_with(served, json!({})).await
    }

    /// The same with preferences of Chromium.
    pub async fn enter_with(served: &Served, preferences: Value) -> Self {
        let (driver, port) = driver();
        let (proxy, elsewhere) = canary();
        let origin = format!("http://127.0.0.1:{}", served.port);
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-default-apps".to_owned(),
            "--disable-sync".to_owned(),
            "--no-first-run".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            "--window-size=1280,900".to_owned(),
            // All but the server is asked of the canary, also what is on this machine.
            format!("--proxy-server=127.0.0.1:{proxy}"),
            format!("--proxy-bypass-list=<-loopback>;127.0.0.1:{}", served.port),
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "prefs": preferences},
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!()
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let browser = Self {
            driver,
            client,
            origin,
            elsewhere,
        };
        browser
            .tell(
                "Page.addScriptToEvaluateOnNewDocument",
                json!({"source": WATCH}),
            )
            .await;
        browser.client.goto(&served.address).await.unwrap();
        browser
    }

    /// A command to the developer tools.
    pub async fn tell(&self, command: &str, parameters: Value) -> Value {
        let command = DevTools(json!({"cmd": command, "params": parameters}));
        self.client.issue_cmd(command).await.unwrap()
    }

    pub async fn open(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.origin))
            .await
            .unwrap();
        self.until("[...document.images].every(image => image.complete)")
            .await;
    }

    /// Opens a file of this machine.
    pub async fn open_file(&self, file: &std::path::Path) {
        let url = url::Url::from_file_path(file).unwrap();
        self.client.goto(url.as_str()).await.unwrap();
    }

    /// Where it is: the path, with the query and the fragment.
    pub async fn place(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str().strip_prefix(&self.origin).unwrap().to_owned()
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let begun = std::time::Instant::now();
        while self.run(&format!("return !!({expression})")).await != true {
            assert!(begun.elapsed().as_secs() < 20, "never: {expression}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Presses keys, one after the other, where the focus is.
    pub async fn press(&self, keys: &str) {
        // The script listens once it has added this.
        self.until("document.getElementById('said')").await;
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    pub async fn theme(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    pub async fn width(&self, width: u32) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// A picture of what is seen, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// Nothing happened that must not.
    #[track_caller]
    pub fn assert_quiet(&self, seen: &Value) {
        assert_eq!(seen["violations"], json!([]), "{}", seen["at"]);
        assert_eq!(seen["dialogs"], json!([]), "{}", seen["at"]);
        assert!(
            self.elsewhere.lock().unwrap().is_empty(),
            "{:?}",
            self.elsewhere.lock().unwrap()
        );
    }

    /// What the page in it is like.
    pub async fn seen(&self) -> Value {
        self.run(include_str!("../browser/seen.js")).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser.
        let _ = Command::new("kill")
            .args(["-TERM", &self.driver.id().to_string()])
            .status();
        let _ = self.driver.wait();
    }
}
