//! Whatever people do, in any order, old mail never tells more.

use hushmark_policy::{Kind as Hit, Mode, Place};
use proptest::prelude::*;

use super::cluster::{modes, plain, region};

fn mode(kind: Hit) -> impl Strategy<Value = Mode> {
    prop::sample::select(Mode::of(kind).collect::<Vec<_>>())
}

/// What a Tenant or a Campaign may ask for.
fn asked() -> impl Strategy<Value = (Mode, Mode)> {
    (mode(Hit::Open), mode(Hit::Click))
}

/// What a person does to tenant, campaign and region.
#[derive(Clone, Debug)]
enum Deed {
    Default(Mode, Mode),
    Own(Option<(Mode, Mode)>),
    Kill(bool),
    Ceiling(Mode, Mode),
    Forget,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        asked().prop_map(|(o, c)| Deed::Default(o, c)),
        prop::option::of(asked()).prop_map(Deed::Own),
        any::<bool>().prop_map(Deed::Kill),
        (mode(Hit::Click), mode(Hit::Click)).prop_map(|(o, c)| Deed::Ceiling(o, c)),
        Just(Deed::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever people do, one thing after the other: it comes to rest; mail sealed as the status
    /// says tells just that; old mail never tells more than it did, nor than anybody allows since.
    #[test]
    fn loosening_never_loosens_old_mail(deeds in prop::collection::vec(deed(), 1..16)) {
        let mut cluster = plain();
        let mut sealed: Vec<(Hit, u32, Mode, Mode)> = Vec::new();
        let mut has_forgotten = false;
        for deed in deeds {
            // Who deletes both and makes them anew loses what they said, not what they capped.
            has_forgotten |= matches!(deed, Deed::Forget);
            match deed {
                Deed::Default(o, c) => cluster.edit_tenant(|t| {
                    t.spec.defaults.campaign = serde_json::from_value(modes(o, c)).unwrap();
                }),
                Deed::Own(own) => cluster.edit_campaign(|campaign| {
                    campaign.spec.tracking =
                        own.map(|(o, c)| serde_json::from_value(modes(o, c)).unwrap());
                }),
                Deed::Kill(on) => cluster.edit_tenant(|t| t.spec.kill_switch = on),
                Deed::Ceiling(o, c) => cluster.region = Some(region(o, c)),
                Deed::Forget => {
                    cluster.edit_tenant(|t| t.status = None);
                    cluster.edit_campaign(|campaign| campaign.status = None);
                }
            }
            cluster.settle();
            let is_ready = cluster.ready().iter().all(|says| says.starts_with("True"));
            let tenant = cluster.tenant().status.clone().unwrap().campaign.unwrap();
            let effective = cluster.campaign().status.clone().unwrap().effective;
            for one in &mut sealed {
                let (hit, generation, claims, told) = *one;
                let (tells, _) = cluster.hit(hit, generation, (claims, Place::None));
                prop_assert!(told.allows(tells), "old mail got freer");
                if let Some(effective) = effective.as_ref().filter(|_| !has_forgotten) {
                    let now = match hit {
                        Hit::Open => effective.opens,
                        Hit::Click => effective.clicks,
                    };
                    prop_assert!(now.mode.allows(tells), "old mail tells what is forbidden");
                }
                one.3 = tells;
            }
            if let Some(effective) = effective.filter(|_| is_ready) {
                for (hit, decided) in [(Hit::Open, effective.opens), (Hit::Click, effective.clicks)] {
                    let (tells, _) =
                        cluster.hit(hit, tenant.generation, (decided.mode, Place::None));
                    prop_assert_eq!(tells, decided.mode, "new mail is free");
                    sealed.push((hit, tenant.generation, decided.mode, tells));
                }
            }
        }
    }
}
