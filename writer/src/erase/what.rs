//! Which rows an erasure means, table by table. Pure.

use hushmark_event::refusal::{Erasure, Whose};

/// What a table finds a person by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Person {
    /// The contact's random id.
    Contact,
    /// The keyed hash of the address.
    Lookup,
    /// The keyed hash, where the row whose source is [`ERASED`] stays: it is the tombstone.
    ButTombstone,
}

/// What a tombstone says of how the tenant learnt it.
pub(super) const ERASED: &str = "erased";

/// A table that holds something of somebody.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    person: Option<Person>,
    campaign: bool,
}

const fn table(name: &'static str, person: Option<Person>, campaign: bool) -> Table {
    Table { name, person, campaign }
}

/// Every table with a tenant's rows, each in its line, in the order in which they are emptied:
/// contacts last, because only they say whose the other rows were. Counters hold no person: what
/// was counted and fed to sketches belongs to nobody.
pub(super) const TABLES: &[Table] = &[
    table("hits", Some(Person::Contact), true),
    table("last_opens", Some(Person::Contact), false),
    table("deliveries", Some(Person::Contact), true),
    table("completed", None, true),
    table("counters", None, true),
    table("sends", None, true),
    table("campaigns", None, true),
    table("policies", None, true),
    table("enforced", None, true),
    table("published", None, true),
    table("published_campaigns", None, true),
    table("consents", Some(Person::Lookup), false),
    table("withdrawals", Some(Person::ButTombstone), false),
    table("contacts", Some(Person::Contact), false),
];

/// Rows of one table that some erasures mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// What tells whose a row is, as SQL of a text.
    pub(super) key: &'static str,
    /// Which rows, as SQL.
    pub(super) rows: String,
    /// The keys, and the entries of the log that mean them.
    pub(super) meant: Vec<(String, u64)>,
}

impl Search {
    /// `None` where nobody is meant: an empty list would be no SQL.
    fn new(
        (key, columns, only): (&'static str, &str, &str),
        meant: Vec<(String, String, u64)>,
    ) -> Option<Self> {
        let listed: Vec<&str> = meant.iter().map(|(_, sql, _)| sql.as_str()).collect();
        let rows = format!("({columns} IN ({}){only})", listed.join(","));
        let meant: Vec<_> = meant.into_iter().map(|(key, _, n)| (key, n)).collect();
        (!meant.is_empty()).then_some(Self { key, rows, meant })
    }
}

impl Table {
    /// What is to be looked for in it.
    pub(super) fn searches(&self, due: &[Erasure]) -> Vec<Search> {
        let (mut people, mut campaigns, mut tenants) = (Vec::new(), Vec::new(), Vec::new());
        for Erasure { n, whose, .. } in due {
            match (whose, self.person) {
                (Whose::Person { tenant, contacts, .. }, Some(Person::Contact)) => {
                    people.extend(
                        contacts.iter().map(|contact| pair(tenant.0, contact.expose(), *n)),
                    );
                }
                (Whose::Person { tenant, lookup, .. }, Some(_)) => {
                    let tenant = tenant.0;
                    people.push((
                        format!("{tenant}/{lookup}"),
                        format!("({tenant},'{lookup}')"),
                        *n,
                    ));
                }
                (Whose::Person { .. }, None) => {}
                (Whose::Campaign(tenant, campaign), _) if self.campaign => {
                    campaigns.push(pair(tenant.0, campaign.0, *n));
                }
                (Whose::Campaign(..), _) => {}
                (Whose::Tenant(tenant), _) => {
                    let tenant = tenant.0.to_string();
                    tenants.push((tenant.clone(), tenant, *n));
                }
            }
        }
        let of_lookup =
            ("concat(toString(tenant), '/', lower(hex(lookup)))", "(tenant, lower(hex(lookup)))");
        let by_person = match self.person {
            Some(Person::Lookup) => (of_lookup.0, of_lookup.1, ""),
            Some(Person::ButTombstone) => (of_lookup.0, of_lookup.1, " AND source != 'erased'"),
            _ => ("concat(toString(tenant), '/', toString(contact))", "(tenant, contact)", ""),
        };
        let by_campaign =
            ("concat(toString(tenant), '/', toString(campaign))", "(tenant, campaign)", "");
        let by_tenant = ("toString(tenant)", "tenant", "");
        [(by_person, people), (by_campaign, campaigns), (by_tenant, tenants)]
            .into_iter()
            .filter_map(|(how, meant)| Search::new(how, meant))
            .collect()
    }
}

fn pair(tenant: u64, id: u64, n: u64) -> (String, String, u64) {
    (format!("{tenant}/{id}"), format!("({tenant},{id})"), n)
}

/// Everything that searches of one table mean.
pub(super) fn all_rows(searches: &[Search]) -> String {
    searches.iter().map(|search| search.rows.as_str()).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use hushmark_event::chain::Hash32;
    use hushmark_event::tables::MIGRATIONS;
    use hushmark_policy::{CampaignId, Mark, TenantId};

    use super::*;

    fn erasure(n: u64, whose: Whose) -> Erasure {
        Erasure { n, at_ms: 0, whose }
    }

    fn rows(name: &str, due: &[Erasure]) -> String {
        let table = TABLES.iter().find(|table| table.name == name).unwrap();
        all_rows(&table.searches(due))
    }

    #[test]
    fn a_person_is_looked_for_by_what_the_table_knows_them_by_and_the_tombstone_stays() {
        let (tenant, contacts) = (TenantId(7), vec![Mark::new(5), Mark::new(6)]);
        let lookup = Hash32([0xab; 32]);
        let due = [erasure(3, Whose::Person { tenant, lookup, contacts })];
        assert_eq!(rows("hits", &due), "((tenant, contact) IN ((7,5),(7,6)))");
        assert_eq!(rows("contacts", &due), rows("hits", &due));
        let by_lookup = rows("withdrawals", &due);
        assert!(by_lookup.contains(&format!("IN ((7,'{lookup}')) AND source != 'erased'")));
        assert_eq!(rows("counters", &due), "", "what was counted belongs to nobody");
    }

    #[test]
    fn a_campaign_goes_from_every_table_that_names_it_and_a_tenant_from_all() {
        let campaign = [erasure(1, Whose::Campaign(TenantId(7), CampaignId(21)))];
        let tenant = [erasure(2, Whose::Tenant(TenantId(7)))];
        for table in TABLES {
            assert_eq!(rows(table.name, &tenant), "(tenant IN (7))");
            let expected = if table.campaign { "((tenant, campaign) IN ((7,21)))" } else { "" };
            assert_eq!(rows(table.name, &campaign), expected);
        }
        let both = [campaign, tenant].concat();
        assert_eq!(rows("sends", &both), "((tenant, campaign) IN ((7,21))) OR (tenant IN (7))");
    }

    /// A table that was forgotten here would keep what a receipt says is gone.
    #[test]
    fn every_table_with_a_tenant_is_searched_by_all_that_it_knows_of_somebody() {
        let statements = MIGRATIONS.iter().flat_map(|step| step.statements());
        let mut found = 0;
        for statement in statements {
            let mut words = statement.split_whitespace();
            let is_table = statement.starts_with("CREATE TABLE") && !statement.contains("= Null");
            let column = |name: &str| {
                statement.lines().any(|line| line.trim_start().starts_with(&format!("{name} ")))
            };
            if !is_table || !column("tenant") {
                continue;
            }
            let name = words.nth(5).unwrap();
            let table = TABLES.iter().find(|table| table.name == name);
            let table = table.unwrap_or_else(|| panic!("{name} has a tenant's rows"));
            assert_eq!(table.campaign, column("campaign"), "{name}");
            let person = match (name, column("contact"), column("lookup")) {
                ("withdrawals", ..) => Some(Person::ButTombstone),
                (_, true, _) => Some(Person::Contact),
                (_, _, true) => Some(Person::Lookup),
                _ => None,
            };
            assert_eq!(table.person, person, "{name}");
            found += 1;
        }
        assert!(found >= 8, "{found}");
    }
}
