//! `kubectl hushmark` as kubectl runs it, on a real API server, under a person's own rights.

mod plugin {
    mod asks;
    mod bundle;
    mod looks;
    mod stage;

    use anyhow::Result;

    #[test]
    fn a_person_looks_plans_asks_and_collects() -> Result<()> {
        let stage = stage::Stage::set()?;
        looks::completion(&stage)?;
        looks::well(&stage)?;
        looks::explained(&stage)?;
        looks::recorded(&stage)?;
        looks::planned(&stage)?;
        asks::by_port_forward(&stage)?;
        asks::told(&stage)?;
        asks::without_the_right(&stage)?;
        asks::what_makes_no_sense(&stage)?;
        asks::keys(&stage)?;
        bundle::nothing_leaks(&stage)?;
        looks::not_well(&stage)
    }
}
