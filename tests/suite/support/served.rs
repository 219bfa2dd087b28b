//! `console-archive serve` as a person starts it, and requests to it as browsers and others send them.

use std::process::{Child, Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;

use super::archived::{Archived, put_into_folder};
use super::kept::make_readable;
use super::printed::{Printed, checked};
use super::*;

/// A folder with an archive of these captures, each so many hours ago, and its settings.
pub async fn folder(captures: &[(&str, &[u8], i64)]) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let ago = |hours: i64| now - SignedDuration::from_hours(hours);
    let captures = captures
        .iter()
        .map(|(id, plain, hours)| (*id, *plain, ago(*hours)));
    let objects = Archived::of(captures).cataloged(ago(12));
    put_into_folder(folder.path(), &objects).await;
    let settings = folder_settings(folder.path());
    // Rows that say what went wrong.
    let indexed = cli(&settings, &["reindex"]).await;
    assert!(indexed.status.success(), "{}", text(&indexed.stderr));
    (folder, settings)
}

pub struct Served {
    process: Child,
    pub port: u16,
    /// The address that was printed last.
    pub address: String,
    lines: UnboundedReceiver<String>,
    cookie: String,
    pub printed: Printed,
}

/// An answer.
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> String {
        text(&self.body)
    }

    /// The value of a header that is there once.
    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let values: Vec<_> = lines.filter(|(of, _)| *of == name).collect();
        assert_eq!(values.len(), 1, "{name}: {}", self.head);
        values[0].1.to_owned()
    }
}

impl Served {
    /// Starts it on a free port, and waits for its address.
    pub async fn start(settings: &Settings, arguments: &[&str]) -> Self {
        Self::start_of(
            Command::new(program("console-archive")),
            settings,
            arguments,
        )
        .await
    }

    /// The same as another user, whom only root can act for, and lets this test in.
    #[cfg(target_os = "linux")]
    #[allow(dead_code)] // Browsers have no other users.
    pub async fn entered_as(settings: &Settings, archive: &Path, uid: u32) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        use std::os::unix::process::CommandExt as _;
        // Others may not run the program where it is built.
        let elsewhere = tempfile::tempdir().unwrap();
        let there = elsewhere.path().join("console-archive");
        std::fs::copy(program("console-archive"), &there).unwrap();
        let folder = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(elsewhere.path(), folder).unwrap();
        make_readable(archive);
        let mut command = Command::new(&there);
        command.uid(uid).gid(uid).current_dir("/");
        let mut served = Self::start_of(command, settings, &[]).await;
        served.enter().await;
        served
    }

    async fn start_of(mut command: Command, settings: &Settings, arguments: &[&str]) -> Self {
        let printed = Printed::new();
        let mut process = command
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(printed.stdio())
            .spawn()
            .unwrap();
        let (lines, _) = printed.take_lines(process.stdout.take().unwrap());
        let mut served = Self {
            process,
            port: 0,
            address: String::new(),
            lines,
            cookie: String::new(),
            printed,
        };
        served.next_address().await;
        let (_, rest) = served.address.rsplit_once(':').unwrap();
        served.port = rest.split_once('/').unwrap().0.parse().unwrap();
        served
    }

    /// The same, and lets this test in.
    pub async fn entered(settings: &Settings, arguments: &[&str]) -> Self {
        let mut served = Self::start(settings, arguments).await;
        served.enter().await;
        served
    }

    /// Waits for another address.
    pub async fn next_address(&mut self) {
        loop {
            let line = self.lines.recv().await.expect("it prints its address");
            let told = serde_json::from_str::<serde_json::Value>(&line).ok();
            let address = told.and_then(|told| Some(told["address"].as_str()?.to_owned()));
            let address = address.unwrap_or_else(|| line.trim().to_owned());
            if address.starts_with("http://") {
                self.address = address;
                return;
            }
        }
    }

    /// The path of the printed address.
    pub fn entrance(&self) -> String {
        let (_, rest) = self.address.split_once("127.0.0.1:").unwrap();
        rest[rest.find('/').unwrap()..].to_owned()
    }

    pub async fn enter(&mut self) {
        let entered = self.get(&self.entrance()).await;
        assert_eq!(entered.status, 303, "{}", entered.head);
        assert_eq!(entered.header("location"), "/");
        let cookie = entered.header("set-cookie");
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    #[allow(dead_code)] // Tests of what it takes look at its memory.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// As a browser asks that was let in.
    pub async fn get(&self, path: &str) -> Got {
        let port = self.port;
        let cookie = &self.cookie;
        self.send(&format!(
            "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n"
        ))
        .await
    }

    /// What another user of this machine gets who has the cookie. Only root can act for others.
    #[cfg(target_os = "linux")]
    #[allow(dead_code)] // As above.
    pub async fn get_as(&self, uid: u32, path: &str) -> String {
        use std::os::unix::process::CommandExt as _;
        let (port, cookie) = (self.port, &self.cookie);
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; \
             printf 'GET {path} HTTP/1.0\\r\\nHost: 127.0.0.1:{port}\\r\\nCookie: {cookie}\\r\\n\\r\\n' >&3; cat <&3"
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &script])
            .uid(uid)
            .gid(uid)
            .current_dir("/");
        let output = tokio::task::spawn_blocking(move || bash.output().unwrap());
        text(&checked(output.await.unwrap()).stdout)
    }

    /// A page, which is there.
    pub async fn page(&self, path: &str) -> String {
        let got = self.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        got.text()
    }

    /// Sends these bytes. Of HTTP 1.0, the answer ends with the connection.
    pub async fn send(&self, request: &str) -> Got {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = memchr::memmem::find(&answer, b"\r\n\r\n").expect("a whole head");
        let head = text(&answer[..end]);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer[end + 4..].to_vec();
        Got { status, head, body }
    }

    /// Ctrl-C. Returns how it ended, and what it printed.
    pub async fn interrupt(mut self) -> (std::process::ExitStatus, String) {
        let pid = self.process.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(killed.success());
        // Its output ends with it.
        while self.lines.recv().await.is_some() {}
        let ended = tokio::task::spawn_blocking(move || {
            let ended = self.process.wait().unwrap();
            (ended, self.printed.text())
        });
        ended.await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a guest may write that is not well meant.
pub fn hostile_console() -> Vec<u8> {
    let mut console = b"[    0.000000] Linux version 6.1.0-hostile (x@y)\r\n\
        <img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(document.domain)</script><svg onload=alert(1)>\r\n\
        </div></pre></main><!--log--><style>*{display:none}</style><base href=//evil.example><meta http-equiv=refresh content=0>\r\n\
        \" onmouseover=alert(1) x=\" ' ` javascript:alert(1) &lt;b&gt; &#60;i&#62;\r\n\
        \x1b]8;;http://evil.example/\x07a link\x1b]8;;\x07 \x1b[31;44mcolours\x1b[0m \x1b[5;8mhidden\x1b[0m\r\n\
        \xe2\x80\xaertl \xe2\x81\xa6 \xf3\xa0\x81\x81\r\n\
        password: hunter2 <iframe srcdoc='<script>parent.x=1</script>'>\r\n"
        .to_vec();
    console.push(b'Z');
    console.extend_from_slice(&"\u{353}".repeat(500).into_bytes());
    console.extend_from_slice(b" a tower\r\n");
    for percent in 0..40 {
        console.extend_from_slice(format!("\rloaded {percent} % <b>").as_bytes());
    }
    console.extend_from_slice(b"\r\n<i>was here</i>\rnow");
    console.extend_from_slice(b"\r\n[    2.000000] Kernel panic - not syncing: <b>VFS</b>: Unable to mount root fs on unknown-block(0,0)\r\n");
    console.resize(console.len() + (1 << 20), b'A');
    console.extend_from_slice(b"\r\n\x1b]0;title\x07\x1bPunterminated\r\nthe end <u>\r\n");
    console
}
