//! Listening TCP sockets, from `/proc/net/tcp` and `tcp6` (`proc_pid_net(5)`).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// One listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) uid: u32,
    pub(super) inode: u64,
}

impl Listener {
    /// Whether only this machine can reach it.
    pub(super) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }
}

/// State `TCP_LISTEN` as the kernel writes it.
const LISTEN: &str = "0A";

/// Lists them from the files in `folder`. A kernel without IPv6 has no `tcp6`.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Listener>> {
    let mut text = fs::read_to_string(folder.join("tcp"))?;
    match fs::read_to_string(folder.join("tcp6")) {
        Ok(six) => text.push_str(&six),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(text.lines().filter_map(parse).collect())
}

/// `sl local remote state queues timer retransmits uid timeout inode …`
fn parse(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if words.nth(1)? != LISTEN {
        return None;
    }
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Listener { address: parse_address(address)?.to_canonical(), port, uid, inode })
}

/// The kernel prints an address as words in its own byte order.
fn parse_address(hexadecimal: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hexadecimal.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hexadecimal.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.as_flattened().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let line = "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 x";
        let expected = Listener { address: Ipv4Addr::LOCALHOST.into(), port: 11434, uid: 1000, inode: 4242 };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }

    #[test]
    fn loopback_is_told_from_everything_else_in_both_families() {
        let loopback = |hex: &str| parse_address(hex).map(|ip| ip.to_canonical().is_loopback());
        assert_eq!(loopback("0100007F"), Some(true));
        assert_eq!(loopback("00000000"), Some(false));
        assert_eq!(loopback("00000000000000000000000001000000"), Some(true));
        assert_eq!(loopback("00000000000000000000000000000000"), Some(false));
        assert_eq!(loopback("0000000000000000FFFF00000100007F"), Some(true));
        assert_eq!(loopback("00"), None);
    }
}
