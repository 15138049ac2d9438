//! Who is connected. Ending a membership ends its connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use croft_domain::id::NodeId;
use tokio_util::sync::CancellationToken;

use crate::ca::Subject;

/// Who speaks on a connection, as a request extension. That the certificate is valid is established; that its subject
/// still belongs to the fleet is asked at each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// No certificate, or one that names nobody here.
    Anonymous,
    /// Somebody with a certificate.
    Known {
        /// Who.
        subject: Subject,
        /// Uncompressed point of the certified key.
        key_point: [u8; 65],
    },
}

type Open = HashMap<NodeId, HashMap<u64, CancellationToken>>;

/// Open connections by node.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
    next: Arc<AtomicU64>,
}

/// A connection's place in the registry, for as long as it is open.
#[derive(Debug)]
pub struct Registered {
    connections: Connections,
    node: NodeId,
    number: u64,
}

impl Connections {
    /// Registers a connection. `cut` is cancelled when it must end.
    #[must_use]
    pub fn register(&self, node: NodeId, cut: CancellationToken) -> Registered {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().entry(node).or_default().insert(number, cut);
        Registered { connections: self.clone(), node, number }
    }

    /// Ends every connection of a node. Returns how many there were.
    pub fn cut(&self, node: NodeId) -> usize {
        self.lock().get(&node).map_or(0, |open| {
            open.values().for_each(CancellationToken::cancel);
            open.len()
        })
    }

    /// How many connections of nodes are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(of_node) = open.get_mut(&self.node) {
            of_node.remove(&self.number);
            if of_node.is_empty() {
                open.remove(&self.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_a_node_cuts_only_that_node() {
        let connections = Connections::default();
        let (ours, theirs) = (CancellationToken::new(), CancellationToken::new());
        let _a = connections.register(NodeId([1; 16]), ours.clone());
        let b = connections.register(NodeId([2; 16]), theirs.clone());
        assert_eq!(connections.cut(NodeId([1; 16])), 1);
        assert!(ours.is_cancelled() && !theirs.is_cancelled());
        drop(b);
        assert_eq!((connections.count(), connections.cut(NodeId([2; 16]))), (1, 0));
    }
}
