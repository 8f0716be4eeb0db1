//! Whether the storage under the region's volumes encrypts, as far as anything tells. Pure
//! judgement of what a StorageClass says and what a person declared; never a guess.

use std::collections::BTreeMap;

use hushmark_crds::region::EncryptedAtRest;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;

use super::validate::{Store, ValidatedRegion};
use crate::conditions::{ENCRYPTED_AT_REST, Status, Wanted};
use crate::{Context, Error};

/// How a provisioner's classes tell.
#[derive(Clone, Copy)]
enum Tells {
    /// It makes no volume that is not encrypted.
    Always,
    /// By this parameter, which is `true` then.
    By(&'static str),
}

/// Provisioners whose documentation says how it is. Of all others nothing is known here.
const KNOWN: [(&str, Tells); 7] = [
    ("ebs.csi.aws.com", Tells::By("encrypted")),
    ("kubernetes.io/aws-ebs", Tells::By("encrypted")),
    ("pd.csi.storage.gke.io", Tells::Always),
    ("disk.csi.azure.com", Tells::Always),
    ("rbd.csi.ceph.com", Tells::By("encrypted")),
    ("driver.longhorn.io", Tells::By("encrypted")),
    ("pxd.portworx.com", Tells::By("secure")),
];

/// A StorageClass, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    name: String,
    provisioner: String,
    parameters: BTreeMap<String, String>,
}

/// What a class says, and how that is known.
enum Said {
    Yes(String),
    No(String),
    Nothing(String),
}

/// The class that the Region names, if it is there.
pub(super) async fn class(ctx: &Context, region: &ValidatedRegion) -> Result<Option<Class>, Error> {
    let Some(name) = &region.storage.class_name else { return Ok(None) };
    let api: Api<StorageClass> = Api::all(ctx.client.clone());
    let found = api.get_opt(name).await;
    let found = found.map_err(Error::api(format!("read the StorageClass {name}")))?;
    Ok(found.map(|class| Class {
        name: name.clone(),
        provisioner: class.provisioner,
        parameters: class.parameters.unwrap_or_default(),
    }))
}

fn said(region: &ValidatedRegion, class: Option<&Class>) -> Said {
    let Some(class) = class else {
        return Said::Nothing(match &region.storage.class_name {
            Some(name) => format!("there is no StorageClass {name}"),
            None => {
                "spec.storage.className names no StorageClass, so the volumes are of whatever is \
                     the cluster's default"
                    .to_owned()
            }
        });
    };
    let Class { name, provisioner, parameters } = class;
    // Rook and others put their namespace in front of a driver's name.
    let is = |known: &str| provisioner == known || provisioner.ends_with(&format!(".{known}"));
    let whose = format!("StorageClass {name} of {provisioner}");
    match KNOWN.iter().find(|(known, _)| is(known)) {
        Some((_, Tells::Always)) => Said::Yes(format!("{whose}, which encrypts every volume")),
        Some((_, Tells::By(parameter))) => match parameters.get(*parameter).map(String::as_str) {
            Some("true") => Said::Yes(format!("{whose} has the parameter {parameter}: \"true\"")),
            Some("false") => Said::No(format!("{whose} has the parameter {parameter}: \"false\"")),
            _ => Said::Nothing(format!("{whose} has no parameter {parameter}: \"true\"")),
        },
        None => Said::Nothing(format!("{whose} does not tell in a way that is known here")),
    }
}

/// What can be said.
pub(super) fn judge(region: &ValidatedRegion, class: Option<&Class>) -> Wanted {
    use EncryptedAtRest::{Declared, Required};
    let of = |status, reason, message: String| {
        Wanted::new(ENCRYPTED_AT_REST, status, reason, format!("{message}{}", not_covered(region)))
    };
    match (said(region, class), region.encrypted_at_rest) {
        (Said::Yes(how), _) => of(Status::True, "StorageClass", how),
        (Said::No(how), _) => of(
            Status::False,
            "StorageClass",
            format!("{how}: move the volumes to a class that encrypts"),
        ),
        (Said::Nothing(how), Some(Declared)) => of(
            Status::True,
            "Declared",
            format!("spec.encryptedAtRest declares it, and nothing here has seen it: {how}"),
        ),
        (Said::Nothing(how), Some(Required)) => of(
            Status::False,
            "NotTold",
            format!(
                "spec.encryptedAtRest requires it, and {how}: name a class that tells, or write \
                 declared if what lies below encrypts"
            ),
        ),
        (Said::Nothing(how), None) => of(
            Status::Unknown,
            "NotTold",
            format!("{how}: write spec.encryptedAtRest: declared if what lies below encrypts"),
        ),
    }
}

/// Why nothing may be made, if that is so.
pub(super) fn forbids(region: &ValidatedRegion, wanted: &Wanted) -> Option<String> {
    let required = region.encrypted_at_rest == Some(EncryptedAtRest::Required);
    (required && wanted.status != Status::True).then(|| wanted.message.clone())
}

fn not_covered(region: &ValidatedRegion) -> String {
    let stores = [("Redis", &region.redis), ("ClickHouse", &region.clickhouse)];
    let outside: Vec<&str> =
        stores.iter().filter(|(_, at)| **at != Store::Managed).map(|(name, _)| *name).collect();
    if outside.is_empty() {
        return String::new();
    }
    format!(". What {} keeps outside is not looked at", outside.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::region::validate::{Around, tests as fixtures, validate};

    fn judged(
        declared: Option<EncryptedAtRest>,
        class: Option<(&str, &[(&str, &str)])>,
    ) -> (Status, &'static str, bool) {
        let mut region = fixtures::full();
        region.spec.encrypted_at_rest = declared;
        let secrets = fixtures::secrets();
        let around =
            Around { others: &[], secrets: &secrets, usable: &std::collections::BTreeSet::new() };
        let region = validate(&region, &config(), &around).unwrap();
        let class = class.map(|(provisioner, parameters)| Class {
            name: "encrypted".into(),
            provisioner: provisioner.into(),
            parameters: parameters.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        });
        let wanted = judge(&region, class.as_ref());
        (wanted.status, wanted.reason, forbids(&region, &wanted).is_some())
    }

    use EncryptedAtRest::{Declared, Required};

    const YES: &[(&str, &str)] = &[("encrypted", "true")];
    const NO: &[(&str, &str)] = &[("encrypted", "false")];

    #[test]
    fn a_class_that_tells_is_believed_over_everyone() {
        for declared in [None, Some(Declared), Some(Required)] {
            for (provisioner, parameters) in [
                ("ebs.csi.aws.com", YES),
                ("rook-ceph.rbd.csi.ceph.com", YES),
                ("pd.csi.storage.gke.io", &[]),
            ] {
                let said = judged(declared, Some((provisioner, parameters)));
                assert_eq!(said, (Status::True, "StorageClass", false), "{provisioner}");
            }
            let said = judged(declared, Some(("ebs.csi.aws.com", NO)));
            assert_eq!(said, (Status::False, "StorageClass", declared == Some(Required)));
        }
    }

    #[test]
    fn a_class_that_does_not_tell_is_never_taken_for_one_that_does() {
        for class in [None, Some(("rancher.io/local-path", YES)), Some(("ebs.csi.aws.com", &[]))] {
            assert_eq!(judged(None, class), (Status::Unknown, "NotTold", false));
            assert_eq!(judged(Some(Declared), class), (Status::True, "Declared", false));
            assert_eq!(judged(Some(Required), class), (Status::False, "NotTold", true));
        }
    }
}
