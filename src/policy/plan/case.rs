//! Which records decide, and under which names.

use super::Parts;
use crate::policy::{
    Case, ClientKey, CountBy, Domain, Evidence, Identity, Lookup, Ruleset, Suspicion, Trace,
    TripletKey, names,
};

impl Parts<'_> {
    /// What must be looked up for the names of the triplet.
    pub(super) fn names(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> Option<Lookup> {
        let is_asked = rules.params.spf.names && !self.is_data;
        is_asked.then(|| self.by_spf(evidence, trace).err())?
    }

    /// The records that decide.
    pub(super) fn case(
        &self,
        evidence: &Evidence,
        rules: &Ruleset,
        suspicion: Option<Suspicion>,
    ) -> Case {
        let params = &rules.params;
        let network = params.network(self.client);
        let address = self.client.network(32, 128);
        let domain = params
            .knows_domains()
            .then(|| {
                // The check has found it out, if S25R is one.
                let is_line = self.is_line;
                is_line.unwrap_or_else(|| names::is_line(self.name, self.client, rules))
            })
            .filter(|is_line| !is_line)
            .and_then(|_| Domain::of(self.name));
        let counted = match (params.count_by, &domain) {
            (CountBy::Subnet, _) => network.into(),
            (CountBy::Domain, Some(domain)) => domain.clone().into(),
            (CountBy::Address, _) | (CountBy::Domain, None) => Identity::from(address),
        };
        let key = |identity: Identity| TripletKey::new(identity, self.sender, self.recipient);
        let mut triplet = (!self.is_data).then(|| key(network.into()));
        let mut others = Vec::new();
        let domain = domain.filter(|_| params.by_domain);
        let by_spf = evidence.spf_domain().filter(|_| params.spf.names);
        let by_spf = by_spf.filter(|by_spf| Some(*by_spf) != domain.as_ref());
        // The last name first: each takes the first place.
        for domain in [by_spf.cloned(), domain].into_iter().flatten() {
            if let Some(first) = &mut triplet {
                others.insert(0, std::mem::replace(first, key(domain.into())));
            }
        }
        Case {
            client: params.auto_whitelist.map(|_| ClientKey::new(counted)),
            triplet,
            others,
            sleep: rules
                .is_targrey()
                .then(|| ClientKey::of_address(self.client)),
            suspicion,
            terms: rules.terms(suspicion),
            asks_known: false,
            is_stressed: self.attempt.is_stressed,
            shared: None,
        }
    }
}
