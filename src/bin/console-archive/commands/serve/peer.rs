//! Whose process a connection comes from. Browsers send a cookie to every port of a host, and other users of this
//! machine can listen on those: so a cookie alone does not tell who sends it.
//!
//! Linux says the owner of each socket. Elsewhere, the cookie decides.

use tokio::net::TcpStream;

/// Who has opened a connection from this machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Peer {
    /// The user who runs this command or root, who may read its memory, or nobody knows who.
    Welcome,
    /// Another user.
    OfUser(u32),
}

#[cfg(not(target_os = "linux"))]
impl Peer {
    pub async fn of(_: &TcpStream) -> Self {
        Self::Welcome
    }
}

#[cfg(target_os = "linux")]
impl Peer {
    pub async fn of(stream: &TcpStream) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let (Ok(from), Ok(to)) = (stream.peer_addr(), stream.local_addr()) else {
            return Self::Welcome;
        };
        // On a machine with many connections this takes a while.
        let owner = tokio::task::spawn_blocking(move || linux::owner(from, to)).await;
        Self::of_owner(owner.ok().flatten(), own)
    }

    fn of_owner(owner: Option<u32>, own: u32) -> Self {
        match owner {
            // Whoever runs the command as root looks at it as somebody else.
            Some(uid) if uid != own && uid != ROOT && own != ROOT => Self::OfUser(uid),
            _ => Self::Welcome,
        }
    }
}

#[cfg(target_os = "linux")]
const ROOT: u32 = 0;

/// The kernel's tables of sockets (`proc_pid_net(5)`).
#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    /// The user who owns the socket from which a connection comes. `None` if no table that can be read has it.
    pub fn owner(from: SocketAddr, to: SocketAddr) -> Option<u32> {
        // A socket for IPv6 can speak IPv4, too.
        let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
        tables.iter().find_map(|table| {
            let table = std::fs::read_to_string(table).ok()?;
            owner_in(&table, from, to)
        })
    }

    /// The same in a table.
    pub fn owner_in(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
        let of_row = |row: &str| {
            let mut fields = row.split_ascii_whitespace().skip(1);
            let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
            let is_asked_for = is_same(local, from) && is_same(remote, to);
            is_asked_for.then(|| fields.nth(4)?.parse().ok()).flatten()
        };
        table.lines().find_map(of_row)
    }

    fn is_same(a: SocketAddr, b: SocketAddr) -> bool {
        a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
    }

    /// Words of four bytes in the order of this machine, a colon, and the port.
    fn address(text: &str) -> Option<SocketAddr> {
        let (ip, port) = text.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let word = |at: usize| {
            let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        };
        let ip: IpAddr = match ip.len() {
            8 => Ipv4Addr::from(word(0)?).into(),
            32 => {
                let words = [word(0)?, word(8)?, word(16)?, word(24)?];
                let mut bytes = [0; 16];
                bytes.copy_from_slice(words.as_flattened());
                Ipv6Addr::from(bytes).into()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Rows of a little-endian machine: a browser's connection to port 8590, this command's end of it, one that listens,
    /// one that was closed.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_owner_of_a_connection_is_who_owns_its_other_end() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:218E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2208377 1 0000000000000000 100 0 0 10 0\n\
             \x20  1: 0100007F:218E 0100007F:D3A2 01 00000000:00000000 00:00000000 00000000  1000        0 2210004 1 0000000000000000 20 4 30 10 -1\n\
             \x20  2: 0100007F:D3A2 0100007F:218E 01 00000000:00000000 00:00000000 00000000  1001        0 2209115 1 0000000000000000 20 4 28 10 -1\n\
             \x20  3: 0100007F:D3A4 0100007F:218E 06 00000000:00000000 03:000016B2 00000000     0        0 0 3 0000000000000000\n";
        let tcp6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 00000000000000000000000001000000:9C40 00000000000000000000000001000000:218E 01 00000000:00000000 00:00000000 00000000  1002        0 2209001 1 0000000000000000 20 4 30 10 -1\n\
             \x20  1: 0000000000000000FFFF00000100007F:9C42 0000000000000000FFFF00000100007F:218E 01 00000000:00000000 00:00000000 00000000  1003        0 2209002 1 0000000000000000 20 4 30 10 -1\n";
        let owner = |table, from: &str, to: &str| {
            let [from, to] = [from, to].map(|text| text.parse::<SocketAddr>().unwrap());
            linux::owner_in(table, from, to)
        };
        assert_eq!(owner(tcp, "127.0.0.1:54178", "127.0.0.1:8590"), Some(1001));
        assert_eq!(owner(tcp, "127.0.0.1:8590", "127.0.0.1:54178"), Some(1000));
        assert_eq!(owner(tcp, "127.0.0.1:54178", "127.0.0.1:8591"), None);
        assert_eq!(owner(tcp6, "[::1]:40000", "[::1]:8590"), Some(1002));
        assert_eq!(owner(tcp6, "127.0.0.1:40002", "127.0.0.1:8590"), Some(1003));
        assert_eq!(owner("", "[::1]:40000", "[::1]:8590"), None);
        assert_eq!(owner("no table\n 1: x y", "[::1]:1", "[::1]:2"), None);
    }

    #[test]
    fn only_other_users_are_sent_away() {
        assert_eq!(Peer::of_owner(Some(1001), 1000), Peer::OfUser(1001));
        for (owner, own) in [
            (Some(1000), 1000),
            (Some(0), 1000),
            (None, 1000),
            (Some(1000), 0),
        ] {
            assert_eq!(Peer::of_owner(owner, own), Peer::Welcome, "{owner:?} {own}");
        }
    }

    #[tokio::test]
    async fn the_kernel_says_who_connects() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tokio::net::TcpListener::bind(host).await else {
                continue; // A machine without IPv6.
            };
            let to = listener.local_addr().unwrap();
            let from = TcpStream::connect(to).await.unwrap();
            let (_accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(from.local_addr().unwrap(), peer);
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(linux::owner(peer, to), Some(own), "{host}");
        }
    }
}
