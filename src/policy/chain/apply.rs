//! What rules that have matched do besides deciding.

use super::effects::{AssignedValue, Effect, Operation, Scope};
use super::render::TokenValues;
use super::search::Search;
use crate::policy::properties::Number;
use crate::types::AddedHeader;

impl Search<'_, '_> {
    /// Applies the effects of a rule that has matched.
    pub(super) fn apply(&mut self, effects: &[Effect], rule: Option<u32>) {
        for effect in effects {
            match effect {
                Effect::Log(format) => {
                    let text = self.values(rule).reply_text(format);
                    self.effects.lines.push(text);
                }
                Effect::Header(header) => {
                    let value = self.values(rule).header_text(&header.value);
                    self.effects.headers.push(AddedHeader {
                        name: header.name.clone(),
                        value,
                        index: header.index,
                    });
                }
                Effect::Report(format) => {
                    self.effects.report = Some(self.values(rule).header_text(format));
                }
                Effect::NoLog => self.effects.is_unlogged = true,
                Effect::Set {
                    scope,
                    property,
                    operation,
                    value,
                } => {
                    let Some(value) = self.assigned(property, *operation, value) else {
                        continue;
                    };
                    self.properties.set(property, &value);
                    if *scope == Scope::Message {
                        self.of_message.set(property, &value);
                        self.effects.properties = Some(self.of_message.clone());
                    }
                }
            }
        }
    }

    /// The value that a property gets; `None` if there is none to be had.
    fn assigned(
        &self,
        property: &str,
        operation: Operation,
        value: &AssignedValue,
    ) -> Option<String> {
        let text = match value {
            AssignedValue::Text(format) => self.values(None).reply_text(format).as_str().to_owned(),
            AssignedValue::Number(Number::Literal(number)) => number.to_string(),
            AssignedValue::Number(Number::Property(name)) => self.properties.get(name)?.to_owned(),
        };
        let number = || text.trim().parse::<i64>().ok();
        let before = self.properties.number(property).unwrap_or(0);
        Some(match operation {
            Operation::Assign => text,
            Operation::Add => before.saturating_add(number()?).to_string(),
            Operation::Subtract => before.saturating_sub(number()?).to_string(),
        })
    }

    /// What tokens stand for while rules are evaluated.
    pub(super) fn values(&self, rule: Option<u32>) -> TokenValues<'_> {
        let (chain, subject) = (self.chain, self.subject);
        let name = rule.and_then(|rule| chain.name(rule));
        TokenValues {
            rule: name,
            current: name,
            properties: Some(&self.properties),
            now: self.evidence.now.zip(subject.place.map(|(_, zone)| zone)),
            local_address: chain.about_messages().local_address,
            score: self.evidence.score().map(|score| score.score),
            ..subject.token_values()
        }
    }
}
