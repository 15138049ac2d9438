//! Races for another's name, against the kernel that runs the tests. As root, other accounts are real ones: an account
//! belongs to a thread, and a socket to the account of the thread that made it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Uid, getuid};
use rustix::thread::set_thread_res_uid;

use super::*;

const ANNA: u32 = 4_242;
const BERT: u32 = 4_343;

/// Does it as that account; as ourselves where we are not root and cannot be another.
fn as_account<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            if getuid().is_root() {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).expect("another account");
            }
            act()
        });
        acting.join().expect("the thread")
    })
}

/// What the lookup says of a connection that account made.
fn expected(uid: u32) -> u32 {
    let own = getuid();
    if own.is_root() { uid } else { own.as_raw() }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn accept(listener: &TcpListener) -> (TcpStream, Connection) {
    let (stream, client) = listener.accept().expect("a connection");
    let server = stream.local_addr().expect("an address");
    let connection = Connection::tcp(&stream, client, server).expect("an inode");
    (stream, connection)
}

/// Connects from that port; 0: from any.
fn connect(server: SocketAddr, port: u16) -> io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::new(server.ip(), port))?;
    rustix::net::connect(&socket, &server)?;
    Ok(socket.into())
}

/// Closes with a reset: the port is free at once.
fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).expect("an option");
    drop(stream);
}

#[test]
fn each_connection_is_its_makers_and_roots_is_nobodys() {
    let lookup = PeerLookup::open().expect("netlink");
    let (listener, server) = listener();
    for uid in [ANNA, BERT] {
        let _client = as_account(uid, || TcpStream::connect(server).expect("connect"));
        let (_stream, connection) = accept(&listener);
        assert_eq!(lookup.uid(connection), Some(expected(uid)));
        assert_eq!(lookup.uid(connection), Some(expected(uid)), "a connection that stays keeps its name");
    }
    let _own = TcpStream::connect(server).expect("connect");
    let own = getuid().as_raw();
    assert_eq!(lookup.uid(accept(&listener).1), (own != 0).then_some(own));
}

#[test]
fn a_client_on_an_ipv6_socket_is_found_at_its_ipv4_address() {
    let lookup = PeerLookup::open().expect("netlink");
    let (listener, server) = listener();
    let mapped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, server.port(), 0, 0);
    let mapped = SocketAddrV6::new("::ffff:127.0.0.1".parse().expect("an address"), mapped.port(), 0, 0);
    let _client = as_account(ANNA, || {
        let socket: OwnedFd =
            rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).expect("a socket");
        rustix::net::connect(&socket, &mapped).expect("connect");
        socket
    });
    let (_stream, connection) = accept(&listener);
    assert_eq!(lookup.uid(connection), Some(expected(ANNA)));
    if let Ok(listener) = TcpListener::bind("[::1]:0") {
        let server = listener.local_addr().expect("an address");
        let _client = as_account(ANNA, || TcpStream::connect(server).expect("connect"));
        assert_eq!(lookup.uid(accept(&listener).1), Some(expected(ANNA)));
    }
}

#[test]
fn p1_a_connection_that_is_closed_or_closing_is_nobodys() {
    let lookup = PeerLookup::open().expect("netlink");
    let (listener, server) = listener();
    let half = as_account(ANNA, || TcpStream::connect(server).expect("connect"));
    let (_stream, connection) = accept(&listener);
    half.shutdown(std::net::Shutdown::Write).expect("half closed");
    assert_eq!(lookup.uid(connection), None, "closing");
    let closed = as_account(ANNA, || TcpStream::connect(server).expect("connect"));
    let (mut stream, connection) = accept(&listener);
    drop(closed);
    assert_eq!(lookup.uid(connection), None, "without a process");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    drop(stream);
    assert_eq!(lookup.uid(connection), None, "TIME_WAIT");
}

/// What was sent before a reset can still be read, when the port already belongs to somebody else's connection.
#[test]
fn p1_a_request_that_outlived_its_connection_is_not_the_next_ones_at_that_port() {
    let lookup = PeerLookup::open().expect("netlink");
    let (listener, server) = listener();
    let mut first = as_account(BERT, || connect(server, 0).expect("connect"));
    let port = first.local_addr().expect("an address").port();
    let (mut stream, connection) = accept(&listener);
    first.write_all(b"a request").expect("written");
    assert_eq!(lookup.uid(connection), Some(expected(BERT)));
    reset(first);
    let _second = as_account(ANNA, || connect(server, port).expect("the same port"));
    let (_other, next) = accept(&listener);
    let mut read = [0; 9];
    stream.read_exact(&mut read).expect("what was sent is there");
    assert_eq!(lookup.uid(next), Some(expected(ANNA)));
    assert_eq!(lookup.uid(connection), None, "the addresses are the same, the connection is not");
}

#[test]
fn p1_nobody_gets_anothers_name_however_fast_ports_change_hands() {
    const VISITS: usize = 200;
    let lookup = PeerLookup::open().expect("netlink");
    let (listener, server) = listener();
    let reserved = connect(server, 0).expect("connect");
    let port = reserved.local_addr().expect("an address").port();
    drop(listener.accept().expect("a connection"));
    reset(reserved);
    let done = AtomicBool::new(false);
    // Both come from the same port, one after the other: one stays until it is answered, the other is gone at once.
    let visit = |uid: u32, round: usize| {
        let Ok(mut client) = connect(server, port) else { return };
        if client.write_all(&uid.to_ne_bytes()).is_ok() && round.is_multiple_of(2) {
            let _ = client.read(&mut [0]);
        }
        reset(client);
    };
    let visits = std::thread::scope(|scope| {
        for uid in [ANNA, BERT] {
            let (visit, done) = (&visit, &done);
            scope.spawn(move || {
                as_account(uid, || {
                    (0..).take_while(|_| !done.load(Relaxed)).for_each(|round| visit(uid, round));
                });
            });
        }
        let mut visits = Vec::new();
        for _ in 0..VISITS {
            let (mut stream, connection) = accept(&listener);
            let mut said = [0; 4];
            if stream.read_exact(&mut said).is_ok() {
                visits.push((u32::from_ne_bytes(said), lookup.uid(connection)));
            }
        }
        done.store(true, Relaxed);
        // Whoever still comes is turned away.
        drop(listener);
        visits
    });
    for (said, named) in &visits {
        assert!(named.is_none_or(|named| named == expected(*said)), "{said} was taken for {named:?}");
    }
    assert!(visits.iter().any(|(_, named)| named.is_some()), "nobody was known at all: {visits:?}");
}

#[test]
fn who_is_at_the_unix_socket_is_known_until_it_is_closed() {
    let lookup = PeerLookup::open().expect("netlink");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    for place in [folder.path(), &path] {
        let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(place, anyone).expect("open to all");
    }
    for uid in [ANNA, BERT] {
        let client = as_account(uid, || UnixStream::connect(&path).expect("connect"));
        let (stream, _) = listener.accept().expect("a connection");
        let connection = Connection::unix(&stream).expect("an inode");
        assert_eq!(lookup.uid(connection), Some(expected(uid)));
        drop(client);
        assert_eq!(lookup.uid(connection), None, "closed");
    }
    let _root = UnixStream::connect(&path).expect("connect");
    let (stream, _) = listener.accept().expect("a connection");
    let own = getuid().as_raw();
    let connection = Connection::unix(&stream).expect("an inode");
    assert_eq!(lookup.uid(connection), (own != 0).then_some(own));
    assert_eq!(lookup.uid(Connection::Unix { inode: 0 }), None);
    assert_eq!(
        lookup.uid(Connection::Unix { inode: inode(&listener).expect("an inode") }),
        None,
        "listening"
    );
}
