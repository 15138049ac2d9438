//! Stable codes of every failure that a person can meet, each with what to do next. `docs/errors.md` lists the same
//! codes, and a test holds the two together.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $hint:literal;)+) => {
        /// A stable failure code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as people and programs see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What to do next, in one sentence.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)+ }
            }
        }
    };
}

codes! {
    /// The line is not an invite, or was cut.
    InviteMalformed = "E-INVITE-MALFORMED", "copy the whole line that begins with croft1. again, or ask for a new invite";
    /// Its time is over.
    InviteExpired = "E-INVITE-EXPIRED", "ask the admin for a new one: croftctl invite create --group GROUP";
    /// All its uses are spent.
    InviteUsed = "E-INVITE-USED", "each invite enrolls as many machines as it was made for; ask the admin for a new one";
    /// The controller does not know it.
    InviteUnknown = "E-INVITE-UNKNOWN", "it may have been withdrawn; ask the admin for a new one";
    /// The controller's certificate is not the one that was pinned.
    PinMismatch = "E-NET-INTERCEPTED", "something between you and the controller presents its own certificate; ask IT to exempt the controller's host from TLS inspection";
    /// A proxy on the way says no.
    ProxyRefused = "E-NET-PROXY", "check network.proxy in node.toml, or HTTPS_PROXY in the environment, with its user and password, and ask IT whether the proxy lets the controller's host through";
    /// Nobody answers.
    Unreachable = "E-NET-UNREACHABLE", "check the network and the controller's address; Croft keeps trying and keeps serving while its lease lasts";
    /// This node was evicted or banned.
    NodeRevoked = "E-NODE-REVOKED", "this node is no longer part of the fleet; ask the admin, or run croft leave";
    /// A review or the report that it names was altered.
    ReviewForged = "E-REVIEW-FORGED", "the report or its review was changed after it was signed, or another key signed it; ask the reviewer for the folder again, and for the digest of the key";
    /// Its state was restored from an older one, or runs twice.
    NodeCloned = "E-NODE-CLONED", "this machine's state was restored from a backup, or copied to a second machine: run croft leave here and enroll anew; on the original nothing is to be done";
    /// The controller does not know this node.
    NodeUnknown = "E-NODE-UNKNOWN", "run croft leave, then enroll with a new invite";
    /// Not enrolled yet.
    NotEnrolled = "E-NOT-ENROLLED", "run croft enroll with the invite that your admin gave you";
    /// Enrolled already.
    AlreadyEnrolled = "E-ALREADY-ENROLLED", "run croft leave first if this machine is to join another fleet";
    /// Nobody agreed.
    ConsentRequired = "E-CONSENT-REQUIRED", "read what is collected, then answer yes, or pass --yes";
    /// The trust metadata is past its expiry.
    TrustExpired = "E-TRUST-EXPIRED", "the freshness key holder must run croftctl trust refresh; until then nothing new is accepted";
    /// Metadata older than what was seen before.
    TrustRollback = "E-TRUST-ROLLBACK", "the controller or mirror offers an older state than this node has seen; tell the admin, this can be an attack";
    /// Metadata or a document whose signatures do not hold.
    TrustForged = "E-TRUST-FORGED", "signatures do not match the fleet's keys; tell the admin, this can be an attack";
    /// The verdict chain does not continue what the node was shown.
    ChainBroken = "E-CHAIN-BROKEN", "the controller's history of this node does not continue what this node was shown: it was restored from an old backup, or edited; tell the admin, who runs croftctl audit verify";
    /// The node's own trust state is missing or damaged.
    TrustState = "E-TRUST-STATE", "stored trust state is damaged; tell the admin, then croft leave and enroll again";
    /// Metadata beyond its bounds.
    TrustLimits = "E-TRUST-LIMITS", "metadata is larger or jumps further than any honest fleet's; tell the admin";
    /// The clock is behind a signed time.
    ClockBehind = "E-CLOCK-BEHIND", "this machine's clock is behind a time that was already signed; set the clock (timedatectl set-ntp true)";
    /// Bytes do not match their digest.
    BlobCorrupt = "E-BLOB-CORRUPT", "the bytes are not the approved ones; Croft will not load them and fetches them again";
    /// Bytes end early.
    BlobTruncated = "E-BLOB-TRUNCATED", "the file is shorter than approved; Croft fetches the rest again";
    /// No such blob.
    BlobMissing = "E-BLOB-MISSING", "the controller does not have these bytes; the admin must run croftctl bundle publish again";
    /// The file is no archive of this fleet's, or it was cut or changed.
    ArchiveRefused = "E-ARCHIVE-REFUSED", "the file is not what croftctl bundle export wrote; copy it again, or ask the admin for a new one; nothing of it was taken";
    /// The disk is full.
    DiskFull = "E-DISK-FULL", "free space on the disk that the message names, then repeat; nothing half-done was left";
    /// There is no TPM, or it may not be used.
    TpmMissing = "E-TPM-MISSING", "turn the TPM on in the firmware's settings and let the daemon's account use it (group tss), or set identity.key = \"software\" in node.toml";
    /// The TPM does not do what it is asked.
    TpmFailed = "E-TPM-FAILED", "try again; if it repeats, restart the machine: the TPM is busy, locked or broken";
    /// The state was made with another TPM.
    TpmOther = "E-TPM-OTHER", "this state belongs to another machine, or the TPM was cleared: run croft leave, then enroll with a new invite";
    /// The controller does not believe what the TPM showed.
    TpmRefused = "E-TPM-REFUSED", "tell the admin what the message says; nothing was enrolled or counted";
    /// Recalled.
    Recalled = "E-RECALLED", "the organization recalled this; croft models shows why and what replaces it";
    /// Not approved for this group.
    Unapproved = "E-UNAPPROVED", "no signed document allows this for the group; the admin can run croftctl assign";
    /// The worker is none that the publishers listed.
    RuntimeUnapproved = "E-RUNTIME-UNAPPROVED", "this machine's croft-worker is in no signed runtime, or older than its baseline asks; update Croft, or the admin publishes it with croftctl runtime publish";
    /// The controller asks for less than the signed fleet document.
    PolicyFloor = "E-POLICY-FLOOR", "the controller asks less of this machine than its group's signed policy; tell the admin, this can be an attack";
    /// The linter refused a file.
    VetRefused = "E-VET-REFUSED", "the file breaks a rule that protects the loader; get it from its publisher again or ask for another model";
    /// llama.cpp makes something else of the template than was approved.
    TemplateDiffers = "E-TEMPLATE-DIFFERS", "what this machine's runtime tells the model is not what was approved; update Croft, or the admin approves the bundle anew with this runtime";
    /// The model does not answer its check prompts here.
    CheckFailed = "E-CHECK-FAILED", "the model does not answer as it did when it was approved; the version before it keeps serving, tell the admin";
    /// No lease.
    LeaseNone = "E-LEASE-NONE", "this machine has no lease yet; croft status says what it waits for";
    /// The lease is over.
    LeaseExpired = "E-LEASE-EXPIRED", "the lease ended while the controller was out of reach; connect once and it renews by itself";
    /// A check blocks.
    NotCompliant = "E-NOT-COMPLIANT", "run croft why";
    /// Another program listens.
    PortTaken = "E-PORT-TAKEN", "another program listens there; stop it, or set gateway.listen in node.toml (never moved silently)";
    /// The state folder cannot be written.
    StateUnwritable = "E-STATE-UNWRITABLE", "give this account write permission to the folder, or name another with --state";
    /// A state file is damaged.
    StateCorrupt = "E-STATE-CORRUPT", "a state file is damaged; restore it from backup, or start over with croft leave";
    /// The sandbox could not be proven.
    SandboxUnproven = "E-SANDBOX-UNPROVEN", "a process that sees prompts could reach out here, so it was not started; croft why shows the attempt";
    /// The worker died.
    WorkerCrashed = "E-WORKER-CRASHED", "the model's process ended; it is started again by itself, repeat the request";
    /// The model takes more memory than it may here.
    MemoryPlan = "E-MEMORY-PLAN", "use a smaller model or variant, set worker.kv_type = \"q8_0\", or raise worker.memory_mib in node.toml as far as policy allows";
    /// No such model.
    ModelUnknown = "E-MODEL-UNKNOWN", "croft models lists what is approved and loaded here";
    /// Does not fit the context.
    ContextFull = "E-CONTEXT-FULL", "shorten the prompt or the answer's max_tokens";
    /// Too many wait.
    QueueFull = "E-QUEUE-FULL", "too many requests wait; try again in a moment";
    /// The caller used what the baseline gives it.
    QuotaSpent = "E-QUOTA-SPENT", "the organization bounds what one caller may use; wait as long as the message says, or ask the admin for more";
    /// The request is malformed.
    RequestInvalid = "E-REQUEST-INVALID", "correct the field that the message names";
    /// The request asks for something that is not there.
    RequestUnsupported = "E-REQUEST-UNSUPPORTED", "leave the named field out; Croft refuses what it would otherwise ignore silently";
    /// The request holds what models must not see here.
    DataBlocked = "E-DATA-BLOCKED", "take the named kind of content out of the request; if it was a real secret, have it replaced";
    /// More sensitive data than this model may be given.
    DataClass = "E-DATA-CLASS", "use a model that is approved for such data, or send data of a lower class";
    /// Nobody accepted the policy.
    PolicyNotAccepted = "E-POLICY-NOT-ACCEPTED", "read it and accept it: croft accept-policy";
    /// Nobody known asks.
    CallerUnknown = "E-CALLER-UNKNOWN", "send Authorization: Bearer KEY; croft key prints the key";
    /// Host header not allowed.
    HostRefused = "E-HOST-REFUSED", "use http://127.0.0.1:11535 or http://localhost:11535";
    /// Origin not allowed.
    OriginRefused = "E-ORIGIN-REFUSED", "web pages may not use this API";
    /// Models are the fleet's.
    Managed = "E-MANAGED", "models are approved by your organization; croft models lists them";
    /// Paused by its user.
    Paused = "E-PAUSED", "run croft resume";
    /// The daemon does not answer.
    DaemonDown = "E-DAEMON-DOWN", "start it with croft service start";
    /// Evidence answers an old challenge.
    EvidenceStale = "E-EVIDENCE-STALE", "the node asks for a new challenge by itself; if this repeats, check its clock. Evidence that is carried: export it anew";
    /// Evidence does not hold.
    EvidenceInvalid = "E-EVIDENCE-INVALID", "the evidence's signature, node or format does not hold; update the node, or treat it as an attack";
    /// The role may not do that.
    Denied = "E-DENIED", "this certificate's role may not do that; ask an admin";
    /// Somebody else was first.
    Conflict = "E-CONFLICT", "it changed meanwhile; look at it again with croftctl get, then repeat";
    /// Nothing by that name.
    NotFound = "E-NOT-FOUND", "croftctl get lists what there is";
    /// An argument or file is wrong.
    Input = "E-INPUT", "correct the value that the message names";
    /// A key file cannot be used.
    Key = "E-KEY", "check the key file, its permissions (0600) and its passphrase";
    /// The database failed.
    Store = "E-STORE", "look at the controller's log and its disk";
    /// Our own fault.
    Internal = "E-INTERNAL", "this is a defect of Croft; please report it with the log lines around it";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_each_has_a_hint() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.as_str().starts_with("E-") && code.hint().len() > 10, "{code}");
        }
    }
}
