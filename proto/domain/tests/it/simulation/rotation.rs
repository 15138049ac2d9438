//! Rotations of lease keys, of the controller's authority and of the root, and whoever holds a key that was rotated out.

use croft_domain::digest::Sha256Digest;
use croft_domain::fact::DiskState;

use super::network::{Keys, Message};
use super::world::{Fault, World};

/// A lease key that nobody ever listed.
const FORGED: u64 = 1 << 40;

impl World {
    /// A new lease key is listed beside the old one; the old one goes with the next signed document, or at once when it
    /// leaked. Now and then others sign from now on: a new root.
    pub fn rotate(&mut self) {
        let keys = &mut self.controller.keys;
        if self.random.chance(50) {
            keys.last += 1;
        }
        if self.random.chance(50) {
            keys.first = keys.last;
        }
        if self.random.chance(40) {
            keys.root += 1;
        }
        self.seen.count("rotated");
    }

    /// The next authority is listed, or shown by the controller, or the one before is taken off the list. A node that is away
    /// through all of it, twice, knows none that counts.
    pub fn rotate_authority(&mut self) {
        let controller = &mut self.controller;
        match self.random.below(3) {
            0 => controller.keys.last_authority += 1,
            1 => controller.authority = controller.keys.last_authority,
            _ => controller.keys.first_authority = controller.authority,
        }
    }

    /// Somebody carries the signed documents to a node: an archive, or a mirror that nobody needs to trust.
    pub fn carry(&mut self, node: usize) {
        if self.nodes[node].refresh(self.controller.keys) {
            self.seen.count("lease ended by rotation");
        }
        self.seen.count("documents carried");
    }

    /// What was rotated out was stolen before: documents by an old root, and a controller by an old authority.
    pub fn attack_with_old_keys(&mut self, node: usize) {
        let before = self.nodes[node].durable.keys;
        if let Some(root) = before.root.checked_sub(1) {
            self.nodes[node].refresh(Keys { root, first: FORGED, last: FORGED, ..before });
            self.seen.count("old root refused");
        }
        let Some(authority) = before.first_authority.checked_sub(1) else { return };
        let Some((nonce, head, links)) = self.controller.challenge(node, None, self.truth) else { return };
        let (call, keys) = (self.nodes[node].call, before);
        self.network
            .send(Message::Challenge { node, call, nonce, head, links, keys, authority }, &mut self.random);
    }

    /// The controller hears a node. One whose certificate is by an authority that no longer counts gets another by the proof of
    /// its key, and needs no invite (P8).
    pub fn greet(&mut self, node: usize, call: u64, known: Option<Sha256Digest>, certificate: u64) {
        let controller = &self.controller;
        if !controller.keys.pin(certificate) {
            if controller.fault == Fault::ControllerStrandsOldCertificates {
                return;
            }
            self.seen.count("renewed by key proof");
        }
        let Some((nonce, head, links)) = controller.challenge(node, known, self.truth) else { return };
        let (keys, authority) = (controller.keys, controller.authority);
        if self.nodes[node].durable.keys != keys {
            self.seen.count("message across a rotation");
        }
        let answer = Message::Challenge { node, call, nonce, head, links, keys, authority };
        self.network.send(answer, &mut self.random);
    }

    /// Whoever is still in the fleet gets a lease once the documents reach it and nothing is lost on the way: no order of
    /// rotations strands a node (P8).
    pub fn check_nobody_is_stranded(&mut self) {
        self.controller.metadata_expires_at = self.truth.plus(14 * 86_400);
        for index in 0..self.nodes.len() {
            if self.controller.books[index].banned || self.rewritten[index] {
                continue;
            }
            self.carry(index);
            self.nodes[index].disk = DiskState::Encrypted;
            let length = self.controller.books[index].chain.len();
            self.network.cut();
            self.network.is_honest = true;
            self.ask(index);
            // Ask, challenge, attest, answer.
            (0..4).for_each(|_| self.deliver());
            self.network.is_honest = false;
            let books = &self.controller.books[index].chain;
            let is_judged = books.len() == length + 1;
            let is_leased = self.nodes[index].durable.lease.is_some();
            self.require(is_judged && is_leased, || {
                format!("node {index} is stranded: judged {is_judged}, leased {is_leased}")
            });
        }
    }
}
