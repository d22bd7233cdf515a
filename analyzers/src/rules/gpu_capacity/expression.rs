//! The part of CEL that device selectors are written in: comparisons of a device's driver, attributes and capacity,
//! joined by `&&`, `||` and `!`. All else is refused by name, so that nobody takes it for an answer.
//!
//! Not a crate: the CEL interpreters bring a parser generator's runtime and a clock with them, for what is a few
//! comparisons here.

use std::collections::BTreeMap;

use bundle::collected::devices::Device;
use serde_json::Value;
use syntax::quantity::Quantity;

/// A device that an expression is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The driver, whose name is also the domain of attributes without one.
    pub(super) driver: &'a str,
    /// The device.
    pub(super) device: &'a Device,
}

/// A condition on a device.
#[derive(Debug)]
pub(super) struct Expression(Node);

#[derive(Debug)]
enum Node {
    Any(Box<Node>, Box<Node>),
    All(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Box<Node>, String, Box<Node>),
    Call(Box<Node>, String, Vec<Node>),
    List(Vec<Node>),
    Literal(Operand),
    Driver,
    Attribute(String, String),
    Capacity(String, String),
    HasAttribute(String, String),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Flag(bool),
    Number(i64),
    Text(String),
    Amount(Quantity),
    List(Vec<Operand>),
}

/// Nesting that is read.
const DEPTH: usize = 32;

impl Expression {
    /// Reads an expression; the error says what in it is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
            depth: 0,
        };
        let node = parser.any()?;
        match parser.tokens.get(parser.at) {
            None => Ok(Self(node)),
            Some(token) => Err(format!("{token:?} after the end")),
        }
    }

    /// Whether a device is meant; the error says what cannot be evaluated.
    pub(super) fn matches(&self, subject: Subject<'_>) -> Result<bool, String> {
        flag(&self.0.evaluate(subject)?)
    }
}

fn flag(operand: &Operand) -> Result<bool, String> {
    match operand {
        Operand::Flag(flag) => Ok(*flag),
        other => Err(format!("{other:?} is no condition")),
    }
}

impl Node {
    fn evaluate(&self, subject: Subject<'_>) -> Result<Operand, String> {
        Ok(match self {
            // As in CEL, the side that decides hides the other's error.
            Self::All(left, right) => Operand::Flag(joined(left, right, false, subject)?),
            Self::Any(left, right) => Operand::Flag(joined(left, right, true, subject)?),
            Self::Not(inner) => Operand::Flag(!flag(&inner.evaluate(subject)?)?),
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.evaluate(subject)?, right.evaluate(subject)?);
                Operand::Flag(compare(&left, operator, &right)?)
            }
            Self::Call(of, name, arguments) => {
                let of = of.evaluate(subject)?;
                let arguments: Result<Vec<_>, _> =
                    arguments.iter().map(|it| it.evaluate(subject)).collect();
                call(&of, name, &arguments?)?
            }
            Self::List(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|it| it.evaluate(subject)).collect();
                Operand::List(items?)
            }
            Self::Literal(operand) => operand.clone(),
            Self::Driver => Operand::Text(subject.driver.to_owned()),
            Self::Attribute(domain, name) => {
                let found = qualified(&subject.device.attributes, subject.driver, domain, name);
                attribute(found.ok_or_else(|| format!("there is no attribute {domain}/{name}"))?)?
            }
            Self::Capacity(domain, name) => {
                let found = qualified(&subject.device.capacity, subject.driver, domain, name);
                let found = found.ok_or_else(|| format!("there is no capacity {domain}/{name}"))?;
                let text = found.get("value").unwrap_or(found);
                let text = text.as_str().unwrap_or_default();
                Operand::Amount(text.parse().map_err(|error| format!("{text:?}: {error}"))?)
            }
            Self::HasAttribute(domain, name) => {
                let found = qualified(&subject.device.attributes, subject.driver, domain, name);
                Operand::Flag(found.is_some())
            }
        })
    }
}

fn joined(left: &Node, right: &Node, decides: bool, subject: Subject<'_>) -> Result<bool, String> {
    let side = |node: &Node| flag(&node.evaluate(subject)?);
    let left = side(left);
    if left == Ok(decides) {
        return Ok(decides);
    }
    let right = side(right);
    if right == Ok(decides) {
        return Ok(decides);
    }
    left?;
    right
}

/// An entry by its domain and name; one without a domain has the driver's.
fn qualified<'m, T>(
    map: &'m BTreeMap<String, T>,
    driver: &str,
    domain: &str,
    name: &str,
) -> Option<&'m T> {
    let own = if domain == driver {
        map.get(name)
    } else {
        None
    };
    own.or_else(|| map.get(&format!("{domain}/{name}")))
}

fn attribute(value: &BTreeMap<String, Value>) -> Result<Operand, String> {
    let (kind, value) = value.iter().next().ok_or("an attribute without a value")?;
    match (kind.as_str(), value) {
        ("string", Value::String(text)) => Ok(Operand::Text(text.clone())),
        ("int", Value::Number(number)) => number
            .as_i64()
            .map(Operand::Number)
            .ok_or_else(|| format!("{number} is too large")),
        ("bool", Value::Bool(flag)) => Ok(Operand::Flag(*flag)),
        _ => Err(format!("an attribute of type {kind}")),
    }
}

fn compare(left: &Operand, operator: &str, right: &Operand) -> Result<bool, String> {
    use Operand::{Amount, List, Number, Text};
    if operator == "in" {
        return match right {
            List(items) => Ok(items.contains(left)),
            other => Err(format!("in {other:?}")),
        };
    }
    let ordering = match (left, right) {
        (Number(left), Number(right)) => left.cmp(right),
        (Text(left), Text(right)) => left.cmp(right),
        (Amount(left), Amount(right)) => left.cmp(right),
        (Operand::Flag(left), Operand::Flag(right)) => left.cmp(right),
        _ => return Err(format!("{left:?} {operator} {right:?}")),
    };
    Ok(match operator {
        "==" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

fn call(of: &Operand, name: &str, arguments: &[Operand]) -> Result<Operand, String> {
    use Operand::{Amount, Flag, Number, Text};
    Ok(match (of, name, arguments) {
        (Amount(left), "compareTo", [Amount(right)]) => Number(left.cmp(right) as i64),
        (Amount(left), "isGreaterThan", [Amount(right)]) => Flag(left > right),
        (Amount(left), "isLessThan", [Amount(right)]) => Flag(left < right),
        (Text(text), "startsWith", [Text(part)]) => Flag(text.starts_with(part)),
        (Text(text), "endsWith", [Text(part)]) => Flag(text.ends_with(part)),
        (Text(text), "contains", [Text(part)]) => Flag(text.contains(part)),
        (Text(text), "lowerAscii", []) => Text(text.to_ascii_lowercase()),
        _ => return Err(format!("the function {name}")),
    })
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(i64),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ",", "-",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' || first == '\'' {
            let end = rest[1..]
                .find(first)
                .ok_or_else(|| "a text without an end".to_owned())?;
            let inner = &rest[1..=end];
            if inner.contains('\\') {
                return Err(format!("{inner:?}, which has escapes"));
            }
            tokens.push(Token::Text(inner.to_owned()));
            end + 2
        } else if first.is_ascii_digit() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let number = rest[..end].parse().map_err(|_| rest[..end].to_owned())?;
            tokens.push(Token::Number(number));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("the sign {first:?}"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.at), Some(Token::Sign(it)) if *it == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(format!("{sign} is missing"))
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            other => Err(format!("{other:?} instead of a text")),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.clone())
            }
            other => Err(format!("{other:?} instead of a name")),
        }
    }

    fn any(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("deep nesting".to_owned());
        }
        let mut node = self.all()?;
        while self.sign("||") {
            node = Node::Any(Box::new(node), Box::new(self.all()?));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn all(&mut self) -> Result<Node, String> {
        let mut node = self.comparison()?;
        while self.sign("&&") {
            node = Node::All(Box::new(node), Box::new(self.comparison()?));
        }
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.unary()?;
        for operator in ["==", "!=", "<=", ">=", "<", ">"] {
            if self.sign(operator) {
                let right = self.unary()?;
                return Ok(Node::Compare(
                    Box::new(left),
                    operator.to_owned(),
                    Box::new(right),
                ));
            }
        }
        if self.tokens.get(self.at) == Some(&Token::Word("in".to_owned())) {
            self.at += 1;
            let right = self.unary()?;
            return Ok(Node::Compare(
                Box::new(left),
                "in".to_owned(),
                Box::new(right),
            ));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, String> {
        let mut negations = 0;
        while self.sign("!") {
            negations += 1;
        }
        let node = self.value()?;
        Ok(if negations % 2 == 1 {
            Node::Not(Box::new(node))
        } else {
            node
        })
    }

    fn value(&mut self) -> Result<Node, String> {
        let mut node = self.primary()?;
        while self.sign(".") {
            let name = self.word()?;
            self.expect("(")?;
            node = Node::Call(Box::new(node), name, self.arguments(")")?);
        }
        Ok(node)
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Node>, String> {
        let mut arguments = Vec::new();
        while !self.sign(end) {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.any()?);
        }
        Ok(arguments)
    }

    fn primary(&mut self) -> Result<Node, String> {
        if self.sign("(") {
            let node = self.any()?;
            self.expect(")")?;
            return Ok(node);
        }
        if self.sign("[") {
            return Ok(Node::List(self.arguments("]")?));
        }
        let is_negative = self.sign("-");
        match self.tokens.get(self.at) {
            Some(Token::Number(number)) => {
                self.at += 1;
                let number = if is_negative { -number } else { *number };
                Ok(Node::Literal(Operand::Number(number)))
            }
            Some(Token::Text(text)) if !is_negative => {
                self.at += 1;
                Ok(Node::Literal(Operand::Text(text.clone())))
            }
            Some(Token::Word(_)) if !is_negative => self.named(),
            other => Err(format!("{other:?}")),
        }
    }

    /// `true`, `quantity("…")`, `has(…)`, `device.…`.
    fn named(&mut self) -> Result<Node, String> {
        let word = self.word()?;
        match word.as_str() {
            "true" => Ok(Node::Literal(Operand::Flag(true))),
            "false" => Ok(Node::Literal(Operand::Flag(false))),
            "quantity" => {
                self.expect("(")?;
                let text = self.text()?;
                self.expect(")")?;
                let amount = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
                Ok(Node::Literal(Operand::Amount(amount)))
            }
            "has" => {
                self.expect("(")?;
                let inner = self.any()?;
                self.expect(")")?;
                match inner {
                    Node::Attribute(domain, name) => Ok(Node::HasAttribute(domain, name)),
                    other => Err(format!("has({other:?})")),
                }
            }
            "device" => self.of_device(),
            _ => Err(format!("the name {word}")),
        }
    }

    fn of_device(&mut self) -> Result<Node, String> {
        self.expect(".")?;
        let part = self.word()?;
        if part == "driver" {
            return Ok(Node::Driver);
        }
        self.expect("[")?;
        let domain = self.text()?;
        self.expect("]")?;
        let name = if self.sign("[") {
            let name = self.text()?;
            self.expect("]")?;
            name
        } else {
            self.expect(".")?;
            self.word()?
        };
        match part.as_str() {
            "attributes" => Ok(Node::Attribute(domain, name)),
            "capacity" => Ok(Node::Capacity(domain, name)),
            _ => Err(format!("device.{part}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn device() -> Device {
        serde_json::from_value(json!({
            "name": "gpu-0",
            "attributes": {
                "type": {"string": "gpu"},
                "productName": {"string": "NVIDIA A100-SXM4-40GB"},
                "index": {"int": 3},
                "example.com/healthy": {"bool": true},
                "driverVersion": {"version": "550.1.0"},
            },
            "capacity": {"memory": {"value": "40Gi"}},
        }))
        .expect("a device")
    }

    #[test]
    fn what_selectors_are_written_in() {
        let device = device();
        let subject = Subject {
            driver: "gpu.nvidia.com",
            device: &device,
        };
        for (text, expected) in [
            (r#"device.driver == "gpu.nvidia.com""#, Ok(true)),
            (
                r#"device.driver == 'gpu.nvidia.com' && device.attributes["gpu.nvidia.com"].type == "gpu""#,
                Ok(true),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"].type == "mig""#,
                Ok(false),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"]["index"] in [1, 3]"#,
                Ok(true),
            ),
            (
                r#"!(device.attributes["gpu.nvidia.com"].index > 3) && device.attributes["example.com"].healthy"#,
                Ok(true),
            ),
            (
                r#"device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("40Gi")) >= 0"#,
                Ok(true),
            ),
            (
                r#"device.capacity["gpu.nvidia.com"].memory.isGreaterThan(quantity("40Gi"))"#,
                Ok(false),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"].productName.lowerAscii().contains("a100")"#,
                Ok(true),
            ),
            (
                r#"has(device.attributes["gpu.nvidia.com"].none) || true"#,
                Ok(true),
            ),
            // The side that decides hides the other's error.
            (
                r#"device.attributes["gpu.nvidia.com"].none == "x" && false"#,
                Ok(false),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"].none == "x""#,
                Err(()),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"].driverVersion == "550.1.0""#,
                Err(()),
            ),
            (
                r#"device.attributes["gpu.nvidia.com"].productName.matches("A100")"#,
                Err(()),
            ),
        ] {
            let said = Expression::parse(text).and_then(|it| it.matches(subject));
            assert_eq!(said.map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "device",
            "device.driver ==",
            "cel.bind(x, 1, x)",
            "device.driver == \"a\\n\"",
            "[1",
            "1 1",
            "é",
            "device.name == 'x'",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"(device|\.|driver|attributes|\["a"\]|==|&&|\|\||!|\(|\)|"x"|'|[0-9]{1,25}|in|has|,|é| ){0,20}"#) {
            let device = device();
            let subject = Subject { driver: "a", device: &device };
            let _ = Expression::parse(&text).and_then(|it| it.matches(subject));
        }
    }
}
