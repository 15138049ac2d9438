//! What the admin's keys are called.

/// The admin's keys, by what they sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// Which keys count for the other roles: the only holder's.
    Root,
    /// The same, of one of several holders, counted from 1 to 9.
    RootOf(u8),
    /// Bundles, baselines, waivers and the fleet document.
    Targets,
    /// The short-lived metadata.
    Freshness,
    /// Recalls.
    Recall,
    /// Leases across air gaps; only where `lease key` made one.
    Lease,
    /// Reviews; only where `report key` made one.
    Reviewer,
    /// The connection to the controller.
    Admin,
}

impl KeyName {
    /// All but the root's, most precious first.
    pub const OTHERS: [Self; 4] = [Self::Targets, Self::Freshness, Self::Recall, Self::Admin];

    /// Every name a root key can have.
    pub(super) fn roots() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Root).chain((1..=9).map(Self::RootOf))
    }

    /// What the key source calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::RootOf(holder) => ROOT_NAMES[holder as usize % ROOT_NAMES.len()],
            Self::Targets => "targets",
            Self::Freshness => "freshness",
            Self::Recall => "recall",
            Self::Lease => "lease",
            Self::Reviewer => "reviewer",
            Self::Admin => "admin",
        }
    }
}

/// What the root keys of several holders are called; the first place is not used.
const ROOT_NAMES: [&str; 10] =
    ["root-0", "root-1", "root-2", "root-3", "root-4", "root-5", "root-6", "root-7", "root-8", "root-9"];
