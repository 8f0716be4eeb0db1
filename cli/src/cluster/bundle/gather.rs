//! The part with a client: everything is asked for, cut down at once, and what cannot be had is
//! noted.

use anyhow::{Result, bail};
use hushmark_crds::{AnonymizationPolicy, Campaign, Region, RetentionPolicy, Tenant};
use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, LogParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::super::args;
use super::super::connect::Connected;
use super::super::port::to_pod;
use super::super::status::OURS;
use super::super::world::{World, list_by, one_region};
use super::keep::{keep, sizes};
use super::{Files, lists, logs};

/// Values of Secrets, for the last look alone.
type Secrets = Vec<Zeroizing<Vec<u8>>>;

struct Gather<'a> {
    at: &'a Connected,
    files: Files,
    notes: Vec<String>,
    secrets: Secrets,
    tail: i64,
}

/// All files, and the values of the releases' Secrets.
pub(super) async fn gather(
    at: &Connected,
    options: &args::SupportBundle,
    now: Timestamp,
) -> Result<(Files, Secrets)> {
    if let Some(name) = &options.region {
        one_region(&at.client, Some(name)).await?;
    }
    let mut world = World::fetch(at).await?;
    if let Some(name) = &options.region {
        world.keep(name);
    }
    let notes = world.unseen.clone();
    let mut all = Gather { at, files: Vec::new(), notes, secrets: Vec::new(), tail: options.tail };
    all.resources(&world)?;
    let mut namespaces: Vec<String> = world
        .regions
        .values()
        .filter_map(|region| Some(region.status.as_ref()?.owner.as_ref()?.namespace.clone()))
        .collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in &namespaces {
        all.release(namespace).await?;
    }
    all.events(&namespaces).await?;
    all.versions(now).await?;
    let notes = all.notes.iter().map(|note| format!("{note}\n")).collect::<String>();
    all.files.push(("notes.txt".to_owned(), notes.into_bytes()));
    Ok((all.files, all.secrets))
}

impl Gather<'_> {
    fn file(&mut self, path: String, value: &Json) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        self.files.push((path, bytes));
        Ok(())
    }

    fn resources(&mut self, world: &World) -> Result<()> {
        self.ours::<Region>("regions", world.regions.values(), lists::REGION)?;
        self.ours::<Tenant>("tenants", world.tenants.values(), lists::TENANT)?;
        self.ours::<Campaign>("campaigns", world.campaigns.values(), lists::CAMPAIGN)?;
        let (retention, anonymization) = (world.retention.values(), world.anonymization.values());
        self.ours::<RetentionPolicy>("retentionpolicies", retention, lists::POLICY)?;
        self.ours::<AnonymizationPolicy>("anonymizationpolicies", anonymization, lists::POLICY)
    }

    fn ours<'a, K: Serialize + 'a>(
        &mut self,
        what: &str,
        all: impl Iterator<Item = &'a K>,
        paths: &[&str],
    ) -> Result<()> {
        let paths = [lists::META, paths, lists::OUR_STATUS].concat();
        let kept: Result<Vec<Json>, _> =
            all.map(|one| serde_json::to_value(one).map(|one| keep(&one, &paths))).collect();
        self.file(format!("resources/{what}.json"), &Json::from(kept?))
    }

    /// Everything of a kind, as JSON; nothing, and a note, where it cannot be had.
    async fn all<K>(&mut self, namespace: &str, by: ListParams) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.at.client.clone(), namespace);
        match list_by(&api, by).await {
            Ok(all) => all,
            Err(error) => {
                let what = K::plural(&());
                self.notes
                    .push(format!("{what} of {namespace} could not be had: {}", told(&error)));
                Vec::new()
            }
        }
    }

    async fn objects<K>(&mut self, namespace: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let all = self.all::<K>(namespace, ListParams::default()).await;
        let spec: &[&str] = if K::kind(&()) == "Pod" { &lists::POD } else { &lists::TEMPLATE };
        let paths = [lists::META, spec, lists::OBJECT].concat();
        let mut kept = Vec::new();
        for one in all {
            let one = serde_json::to_value(one)?;
            let mut object = keep(&one, &paths);
            options_of(&one, &mut object);
            kept.push(object);
        }
        let what = K::plural(&());
        self.file(format!("objects/{namespace}/{what}.json"), &Json::from(kept))
    }

    /// What one release made.
    async fn release(&mut self, namespace: &str) -> Result<()> {
        self.objects::<Deployment>(namespace).await?;
        self.objects::<StatefulSet>(namespace).await?;
        self.objects::<Job>(namespace).await?;
        self.objects::<Pod>(namespace).await?;
        self.objects::<Service>(namespace).await?;
        self.objects::<ServiceAccount>(namespace).await?;
        self.objects::<PersistentVolumeClaim>(namespace).await?;
        self.objects::<HorizontalPodAutoscaler>(namespace).await?;
        self.objects::<PodDisruptionBudget>(namespace).await?;
        self.objects::<NetworkPolicy>(namespace).await?;
        self.objects::<Ingress>(namespace).await?;
        self.objects::<Lease>(namespace).await?;
        self.data(namespace).await?;
        let pods = self.all::<Pod>(namespace, ListParams::default().labels(OURS)).await;
        for pod in &pods {
            self.logs(namespace, pod).await;
            self.metrics(namespace, pod).await;
        }
        Ok(())
    }

    /// Names of keys and sizes. Values go no further than to the last look.
    async fn data(&mut self, namespace: &str) -> Result<()> {
        let secrets = self.all::<Secret>(namespace, ListParams::default()).await;
        let mut kept = Vec::new();
        for secret in secrets {
            let mut object = keep(
                &serde_json::to_value(&secret.metadata)
                    .map(|meta| json!({ "metadata": meta, "type": secret.type_ }))?,
                &[lists::META, &["type"]].concat(),
            );
            let data = secret.data.unwrap_or_default();
            let sized: Json = data
                .iter()
                .map(|(name, value)| (name.clone(), value.0.len().into()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            object["bytes"] = sized;
            kept.push(object);
            self.secrets.extend(data.into_values().map(|ByteString(value)| Zeroizing::new(value)));
        }
        self.file(format!("objects/{namespace}/secrets.json"), &Json::from(kept))?;
        let maps = self.all::<ConfigMap>(namespace, ListParams::default()).await;
        let mut kept = Vec::new();
        for map in maps {
            let map = serde_json::to_value(map)?;
            let mut object = keep(&map, lists::META);
            object["bytes"] = sizes(&map["data"], str::len);
            kept.push(object);
        }
        self.file(format!("objects/{namespace}/configmaps.json"), &Json::from(kept))
    }

    async fn logs(&mut self, namespace: &str, pod: &Pod) {
        let name = pod.name_any();
        let api: Api<Pod> = Api::namespaced(self.at.client.clone(), namespace);
        let restarts = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let restarted = restarts.is_some_and(|all| all.iter().any(|one| one.restart_count > 0));
        for previous in [false, true] {
            if previous && !restarted {
                continue;
            }
            let params = LogParams {
                tail_lines: Some(self.tail),
                previous,
                timestamps: false,
                ..LogParams::default()
            };
            let which = if previous { ".previous" } else { "" };
            match api.logs(&name, &params).await {
                Ok(log) => {
                    let path = format!("logs/{namespace}/{name}{which}.log");
                    self.files.push((path, logs::clean(&log).into_bytes()));
                }
                Err(error) => {
                    let why = told(&error);
                    self.notes.push(format!("the log of {namespace}/{name}{which}: {why}"));
                }
            }
        }
    }

    async fn metrics(&mut self, namespace: &str, pod: &Pod) {
        let port = pod.annotations().get("prometheus.io/port").and_then(|port| port.parse().ok());
        let Some(port) = port else { return };
        let name = pod.name_any();
        let request = hyper::Request::get("/metrics").header(hyper::header::HOST, "pod");
        let Ok(request) = request.body(http_body_util::Full::default()) else { return };
        match to_pod(&self.at.client, (namespace, &name), port, request).await {
            Ok(answer) => {
                let page = logs::metrics(&String::from_utf8_lossy(&answer.body));
                self.files.push((format!("metrics/{namespace}/{name}.txt"), page.into_bytes()));
            }
            Err(error) => {
                let why = super::scrub::scrub(&format!("{error:#}"));
                self.notes.push(format!("the metrics of {namespace}/{name}: {why}"));
            }
        }
    }

    /// What was told of the releases, and what the operator told of anything.
    async fn events(&mut self, namespaces: &[String]) -> Result<()> {
        for namespace in namespaces {
            let all = self.all::<Event>(namespace, ListParams::default()).await;
            let kept = events(&all, |_| true)?;
            self.file(format!("events/{namespace}.json"), &kept)?;
        }
        let api: Api<Event> = Api::all(self.at.client.clone());
        match list_by(&api, ListParams::default()).await {
            Ok(all) => {
                let ours = |event: &Event| {
                    event.reporting_controller.as_deref() == Some("hushmark-operator")
                };
                let kept = events(&all, ours)?;
                self.file("events/of-the-operator.json".to_owned(), &kept)?;
            }
            Err(error) => self.notes.push(format!("events of all namespaces: {}", told(&error))),
        }
        Ok(())
    }

    async fn versions(&mut self, now: Timestamp) -> Result<()> {
        let Ok(server) = self.at.client.apiserver_version().await else {
            bail!("the API server does not say which version it is: is it there?");
        };
        let versions = json!({
            "madeAt": now.to_string(),
            "kubernetes": server.git_version,
            "platform": server.platform,
            "plugin": env!("CARGO_PKG_VERSION"),
        });
        self.file("versions.json".to_owned(), &versions)
    }
}

fn events(all: &[Event], ours: impl Fn(&Event) -> bool) -> Result<Json> {
    let mut kept = Vec::new();
    for event in all.iter().filter(|event| ours(event)) {
        kept.push(keep(&serde_json::to_value(event)?, lists::EVENT));
    }
    Ok(Json::from(kept))
}

/// Names of a container's options: values may be anything.
fn options_of(from: &Json, to: &mut Json) {
    for at in ["/spec/containers", "/spec/template/spec/containers"] {
        let containers = from.pointer(at).and_then(Json::as_array).into_iter().flatten();
        let named: Vec<Json> = containers.map(|container| options(&container["args"])).collect();
        let kept = to.pointer_mut(at).and_then(Json::as_array_mut).into_iter().flatten();
        for (container, options) in kept.zip(named) {
            container["options"] = options;
        }
    }
}

fn options(args: &Json) -> Json {
    let args = args.as_array().into_iter().flatten().filter_map(Json::as_str);
    let options = args.filter(|arg| arg.starts_with("--"));
    options.map(|arg| Json::from(arg.split('=').next().unwrap_or_default())).collect()
}

fn told(error: &kube::Error) -> String {
    let said = match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    super::scrub::scrub(&said)
}
