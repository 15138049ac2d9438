//! A corporate network between node and controller: one that ends every connection after a while, whatever it carries.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use croft_e2e::api::Api;
use croft_e2e::wait;
use croft_trust::invite_line;

use crate::Village;
use tinyproxy::Tinyproxy;

#[path = "../../../../proto/link/tests/it/tinyproxy.rs"]
mod tinyproxy;

/// A relay to the controller that a test can cut, as a proxy that restarts does.
struct Relay {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    count: Arc<AtomicU32>,
}

impl Relay {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (open, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        let relay = Self { port, open: Arc::clone(&open), count: Arc::clone(&count) };
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let ends = [near.try_clone(), far.try_clone()].map(|end| end.expect("an end"));
                open.lock().expect("no panic").extend(ends);
                pump(near.try_clone().expect("an end"), far.try_clone().expect("an end"));
                pump(far, near);
            }
        });
        relay
    }

    /// Ends every connection that is open.
    fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().expect("no panic"));
        open.iter().filter(|end| end.shutdown(Shutdown::Both).is_ok()).count()
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn p8_a_network_that_cuts_long_connections_turns_watching_into_polling_and_recalls_still_come() {
    let village = Village::new();
    let controller = village.fleet.url();
    let address = controller.strip_prefix("https://").expect("an address");
    let relay = Relay::to(address.to_owned());
    let mut invite = invite_line::decode(&village.fleet.invite(&[]).expect("an invite")).expect("an invite");
    invite.controller = format!("https://127.0.0.1:{}", relay.port);
    let station = &village.workstation;
    station.enroll(&invite_line::encode(&invite)).expect("enrollment");
    station.wait_until_serving(60).expect("serving");
    let connection = || station.status().expect("a status")["connection"].to_string();
    wait::until("it watches", 60, || {
        if connection().contains("connected") { Ok(()) } else { Err(connection()) }
    })
    .expect("watching");

    let before = relay.count.load(Ordering::SeqCst);
    // It says that it is connected before it watches, and what happens on the machine makes it try anew: cut again then.
    wait::until("it polls", 60, || {
        let now = connection();
        if now.contains("polling") {
            return Ok(());
        }
        if now.contains("connected") {
            relay.cut();
        }
        Err(now)
    })
    .expect("polling");
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    assert_eq!(api.ask("list all orders").expect("an answer").status, 200, "a cut costs nobody an answer");

    // Nobody tells it: it asks by itself, within a minute and a tenth of that.
    village.fleet.ctl(&["recall", "starter@1", "--reason", "test"]).expect("a recall");
    wait::until("the recall is learned by asking", 120, || {
        let answer = api.ask("list all orders").map_err(|e| e.to_string())?;
        if answer.status >= 400 { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .expect("recalled");
    assert!(relay.count.load(Ordering::SeqCst) > before, "it asked through the relay");
}

#[test]
fn p8_a_proxy_that_restarts_costs_no_answer_and_what_it_cuts_too_often_is_asked_for() {
    let mut village = Village::new();
    let first = Tinyproxy::start(600);
    let port = first.port;
    let table = format!("[network]\nproxy = \"http://jane:s3cret@127.0.0.1:{port}\"\n");
    village.workstation.stop().expect("a stopped daemon");
    village.workstation.configure(&table).expect("a configuration");
    let file = village.workstation.state().join("node.toml");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("a file for its owner");
    village.workstation.start().expect("a running daemon");
    let mut invite = invite_line::decode(&village.fleet.invite(&[]).expect("an invite")).expect("an invite");
    invite.controller = invite.controller.replace("127.0.0.1", "0.0.0.0");
    let station = &village.workstation;
    station.enroll(&invite_line::encode(&invite)).expect("enrollment through the proxy");
    station.wait_until_serving(60).expect("serving");
    let connection = || station.status().expect("a status")["connection"].to_string();
    wait::until("it watches", 60, || {
        if connection().contains("connected") { Ok(()) } else { Err(connection()) }
    })
    .expect("watching");
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    // Gone, and back: it comes back by itself.
    drop(first);
    wait::until("it is not connected", 60, || {
        if connection().contains("connected") { Err(connection()) } else { Ok(()) }
    })
    .expect("cut off");
    assert_eq!(
        api.ask("list all orders").expect("an answer").status,
        200,
        "a proxy that is gone costs nobody an answer"
    );
    let mut proxy = Some(Tinyproxy::start_at(port, 600));
    wait::until("it polls", 120, || {
        let now = connection();
        if now.contains("polling") {
            return Ok(());
        }
        if now.contains("connected") {
            // The old one ends first: the new one takes its port.
            drop(proxy.take());
            proxy = Some(Tinyproxy::start_at(port, 600));
        }
        Err(now)
    })
    .expect("polling");
    village.fleet.ctl(&["recall", "starter@1", "--reason", "test"]).expect("a recall");
    wait::until("the recall is learned by asking through the proxy", 120, || {
        let answer = api.ask("list all orders").map_err(|e| e.to_string())?;
        if answer.status >= 400 { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .expect("recalled");
}
