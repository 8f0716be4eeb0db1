//! Where a campaign is in its life: pure, from its schedule and the time.

use std::time::Duration;

use hushmark_crds::{Phase, RetentionPolicySpec};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Not longer than a day is slept, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

/// What decides.
pub(super) struct Life {
    /// Whether nothing is wrong with it.
    pub(super) is_sound: bool,
    /// When it was sent, or else when it is to be.
    pub(super) at: Option<Timestamp>,
    /// For how many days after that a hit counts.
    pub(super) tracked_days: u16,
    /// For how many days its retention keeps anything, if it says so.
    pub(super) kept_days: Option<u16>,
}

/// For how long a policy keeps anything; nothing if for ever, or while a hold forbids removal.
pub(super) fn kept_days(policy: &RetentionPolicySpec) -> Option<u16> {
    let days = policy.keep.counters_days.max(policy.keep.rows_days);
    days.filter(|_| policy.legal_hold.is_none())
}

impl Life {
    /// The phase, and in how long it may be another one though nothing changed. `said` is what the
    /// status says: who sends writes `Sending` and `Sent` there.
    pub(super) fn phase(&self, said: Option<Phase>, now: Timestamp) -> (Phase, Option<Duration>) {
        let sending = said.filter(|said| matches!(said, Phase::Sending | Phase::Sent));
        let Some(at) = self.at.filter(|_| self.is_sound || sending.is_some()) else {
            return (sending.unwrap_or(Phase::Draft), None);
        };
        let after = |days: u32| at.saturating_add(days_long(days)).unwrap_or(Timestamp::MAX);
        let until = |moment: Timestamp| {
            let left = moment.duration_since(now).unsigned_abs();
            // Never at once again: a moment that is reached is in the past.
            Some(left.clamp(Duration::from_millis(10), LONGEST_SLEEP))
        };
        let over = after(self.tracked_days.into());
        let gone = self.kept_days.map(|days| after(u32::from(self.tracked_days) + u32::from(days)));
        if now < at {
            (sending.unwrap_or(Phase::Scheduled), until(at))
        } else if now < over {
            (sending.unwrap_or(Phase::Scheduled), until(over))
        } else {
            match gone {
                Some(gone) if now >= gone => (Phase::Archived, None),
                Some(gone) => (Phase::Completed, until(gone)),
                None => (Phase::Completed, None),
            }
        }
    }
}

fn days_long(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn life() -> Life {
        let at = Some(at("2026-12-01T08:00:00Z"));
        Life { is_sound: true, at, tracked_days: 30, kept_days: Some(100) }
    }

    #[test]
    fn a_campaign_goes_from_draft_to_archive() {
        let draft = Life { at: None, ..life() };
        assert_eq!(draft.phase(None, at("2026-11-30T08:00:00Z")), (Phase::Draft, None));
        for (now, said, expected) in [
            ("2026-11-30T08:00:00Z", None, Phase::Scheduled),
            ("2026-12-01T08:00:00Z", Some(Phase::Scheduled), Phase::Scheduled),
            ("2026-12-01T08:00:01Z", Some(Phase::Sending), Phase::Sending),
            ("2026-12-02T08:00:00Z", Some(Phase::Sent), Phase::Sent),
            ("2026-12-31T08:00:00Z", Some(Phase::Sent), Phase::Completed),
            ("2027-04-10T08:00:00Z", Some(Phase::Completed), Phase::Archived),
        ] {
            assert_eq!(life().phase(said, at(now)).0, expected, "{now} {said:?}");
        }
        let kept_for_ever = Life { kept_days: None, ..life() };
        assert_eq!(kept_for_ever.phase(None, at("2099-01-01T00:00:00Z")).0, Phase::Completed);
    }

    #[test]
    fn one_that_is_refused_is_a_draft_until_somebody_sends_it() {
        let refused = Life { is_sound: false, ..life() };
        let now = at("2026-12-02T08:00:00Z");
        assert_eq!(refused.phase(Some(Phase::Scheduled), now).0, Phase::Draft);
        assert_eq!(refused.phase(Some(Phase::Sent), now).0, Phase::Sent);
    }

    #[test]
    fn it_looks_again_when_its_moment_has_come_and_once_a_day_at_the_least() {
        let (_, next) = life().phase(None, at("2026-12-01T07:59:50Z"));
        assert_eq!(next, Some(Duration::from_secs(10)));
        let (_, next) = life().phase(None, at("2026-12-01T08:00:00Z"));
        assert_eq!(next, Some(LONGEST_SLEEP));
    }
}
