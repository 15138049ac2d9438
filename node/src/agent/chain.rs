//! Whether the controller's history of this node continues what the node was shown (P7). Pure: the node keeps one head,
//! and moves it only along links that it computed itself.

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_trust::chain::{follow, next_head};

use crate::controller_client::{Answer, Challenge};
use crate::failure::Failure;

/// The head to countersign next: the known one, moved along the links of answers that were lost on their way.
///
/// # Errors
/// [`Code::ChainBroken`] if the shown head does not follow from the known one.
pub fn resume(known: Option<Sha256Digest>, challenge: &Challenge) -> Result<Option<Sha256Digest>, Failure> {
    if follow(known, &challenge.links) == challenge.chain_head {
        return Ok(challenge.chain_head);
    }
    Err(broken("the history that the controller shows does not continue what this node was shown"))
}

/// The head after an answer.
///
/// # Errors
/// [`Code::ChainBroken`] if the answer's head does not commit to this evidence and this verdict.
pub fn extend(before: Option<Sha256Digest>, answer: &Answer) -> Result<Sha256Digest, Failure> {
    let head = next_head(before, &answer.link);
    if answer.chain_head == Some(head) {
        return Ok(head);
    }
    Err(broken("the controller's answer does not extend this node's history by what was just judged"))
}

fn broken(message: &str) -> Failure {
    Failure::new(Code::ChainBroken, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::time::Timestamp;
    use croft_trust::chain::Link;

    fn link(at: u64) -> Link {
        Link {
            commitment: Sha256Digest([1; 32]),
            verdict: Sha256Digest([2; 32]),
            rules: Sha256Digest([3; 32]),
            at: Timestamp(at),
        }
    }

    fn shown(chain_head: Option<Sha256Digest>, links: Vec<Link>) -> Challenge {
        Challenge { nonce: vec![1], chain_head, links }
    }

    #[test]
    fn p7_a_lost_answer_is_caught_up_with() {
        let first = next_head(None, &link(1));
        let second = next_head(Some(first), &link(2));
        assert_eq!(resume(Some(first), &shown(Some(first), Vec::new())).expect("the same"), Some(first));
        let caught_up = resume(Some(first), &shown(Some(second), vec![link(2)]));
        assert_eq!(caught_up.expect("one link on"), Some(second));
        let from_the_start = resume(None, &shown(Some(second), vec![link(1), link(2)]));
        assert_eq!(from_the_start.expect("all links"), Some(second));
    }

    #[test]
    fn p7_a_history_that_was_rewritten_cut_or_forked_is_an_alarm() {
        let first = next_head(None, &link(1));
        let second = next_head(Some(first), &link(2));
        let forked = next_head(Some(first), &link(3));
        let attacks = [
            (Some(second), shown(Some(first), Vec::new()), "cut"),
            (Some(second), shown(None, Vec::new()), "forgotten"),
            (Some(second), shown(Some(forked), Vec::new()), "forked"),
            (Some(second), shown(Some(forked), vec![link(3)]), "forked with links from before the fork"),
            (Some(first), shown(Some(second), vec![link(9)]), "links that lead elsewhere"),
            (None, shown(Some(first), Vec::new()), "a history for a node that has none"),
        ];
        for (known, challenge, attack) in attacks {
            let refused = resume(known, &challenge).expect_err(attack);
            assert_eq!(refused.code(), Code::ChainBroken, "{attack}");
        }
    }
}
