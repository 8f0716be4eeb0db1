//! The CRDs, as objects and as the YAML that is checked in under `crds/generated/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::{AnonymizationPolicy, Campaign, Region, RetentionPolicy, Tenant};

const HEADER: &str =
    "# Generated from crds/src by `UPDATE=1 cargo test -p hushmark-crds`. Do not edit.\n";

/// Every CRD, in the order in which a person meets them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Region::crd(),
        Tenant::crd(),
        Campaign::crd(),
        RetentionPolicy::crd(),
        AnonymizationPolicy::crd(),
    ];
    for crd in &mut crds {
        for version in &mut crd.spec.versions {
            let schema = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
            schema.into_iter().for_each(forbid_null);
        }
    }
    crds
}

/// Every CRD as a file name and its YAML; the same bytes each time.
///
/// # Panics
/// Never: the types serialise to JSON, and JSON is YAML.
#[must_use]
pub fn generate() -> Vec<(String, String)> {
    crds().iter().map(rendered).collect()
}

/// The same as templates of the chart `hushmark-crds`: uninstalling it leaves them, because with a
/// definition goes every resource of its kind.
///
/// # Panics
/// Never: as [`generate`].
#[must_use]
pub fn templates() -> Vec<(String, String)> {
    let keep = ("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    let mut crds = crds();
    for crd in &mut crds {
        crd.metadata.annotations.get_or_insert_default().extend([keep.clone()]);
    }
    crds.iter().map(rendered).collect()
}

fn rendered(crd: &CustomResourceDefinition) -> (String, String) {
    let name = format!("{}.yaml", crd.spec.names.plural);
    // By way of `Value`, whose maps are sorted, so that no map's order shows.
    let json = serde_json::to_value(crd).expect("a CRD is JSON");
    let options = serde_saphyr::ser_options! { no_lang_directive: true };
    let yaml = serde_saphyr::to_string_with_options(&json, options).expect("JSON is YAML");
    (name, format!("{HEADER}{yaml}"))
}

/// `Option` makes a schema nullable, and then a null is not the same as nothing to a CEL rule.
/// An API server takes a null that is not allowed for a field that is not there: what people mean.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(forbid_null);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => forbid_null(items),
        Some(JSONSchemaPropsOrArray::Schemas(all)) => all.iter_mut().for_each(forbid_null),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test -p hushmark-crds` writes the files.
    #[test]
    fn what_is_checked_in_is_what_the_types_say() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let update = std::env::var_os("UPDATE").is_some();
        let places =
            [("generated", generate()), ("../charts/hushmark-crds/templates", templates())];
        for (folder, files) in places {
            let folder = root.join(folder);
            if update {
                std::fs::create_dir_all(&folder).unwrap();
            }
            for (name, yaml) in files {
                let path = folder.join(&name);
                if update {
                    std::fs::write(&path, &yaml).unwrap();
                }
                let found = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(found == yaml, "{} differs: run the tests with UPDATE=1", path.display());
            }
        }
    }

    #[test]
    fn helm_finds_nothing_in_a_template_that_it_would_change() {
        for (name, yaml) in templates() {
            assert!(!yaml.contains("{{") && !yaml.contains("}}"), "{name}");
        }
    }
}
