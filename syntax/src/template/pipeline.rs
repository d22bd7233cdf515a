//! The inside of an action: pipelines, commands, operands.

use crate::quote::quote;

use super::constants::number;
use super::functions;
use super::lexer::Kind;
use super::parser::{MAX_NESTING, Parser, Parsing};
use super::tree::{Command, Expression, Pipe, Span, Term};

impl Parser<'_> {
    /// Reads a pipeline up to a token of kind `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsing<Pipe> {
        let start = self.peek_non_space().start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        let last = loop {
            let token = self.peek_non_space();
            match token.kind {
                kind if kind == end => break self.end(),
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => commands.push(self.command()?),
                _ => return self.unexpected(&token, context),
            }
        };
        self.advance();
        if commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            let first = &command.arguments[0].kind;
            if matches!(
                first,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(_)
            ) {
                let stage = index + 1;
                return self.fail(format!("non executable command in pipeline stage {stage}"));
            }
        }
        let end = self.text[..last].trim_end().len();
        Ok(Pipe {
            span: Span {
                at: start,
                start,
                end,
            },
            variables,
            assigns,
            commands,
        })
    }

    /// `$a :=`, `$a =`, and in a range `$a, $b :=`.
    fn declarations(&mut self, context: &str) -> Parsing<(Vec<String>, bool)> {
        let mut variables = Vec::new();
        loop {
            let token = self.peek_non_space();
            if token.kind != Kind::Variable {
                return Ok((variables, false));
            }
            let before = self.next;
            self.advance();
            let next = self.peek_non_space();
            let comma = next.kind == Kind::Char && next.text == ",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.next = before;
                return Ok((variables, false));
            }
            self.advance();
            variables.push(token.text.to_string());
            self.variables.push(token.text.into_owned());
            if !comma {
                return Ok((variables, next.kind == Kind::Assign));
            }
            if context != "range" || variables.len() > 1 {
                return self.fail(format!("too many declarations in {context}"));
            }
            let after = self.peek_non_space().kind;
            if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.fail("range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Parsing<Command> {
        let start = self.peek_non_space().start;
        let mut arguments = Vec::new();
        let mut end = start;
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                // With the parenthesis that the operand's own span leaves out.
                end = self.end();
                arguments.push(operand);
            }
            let token = self.advance();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if arguments.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command {
            span: Span {
                at: start,
                start,
                end,
            },
            arguments,
        })
    }

    fn operand(&mut self) -> Parsing<Option<Expression>> {
        let start = self.peek_non_space().start;
        let Some(mut term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().start;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.advance().text[1..].to_owned());
        }
        let span = Span {
            at,
            start,
            end: self.end(),
        };
        let kind = match &mut term.kind {
            Term::Field(names) | Term::Variable(_, names) => {
                names.append(&mut fields);
                term.kind
            }
            Term::Bool(_) | Term::Text(_) | Term::Number(_) | Term::Nil | Term::Dot => {
                let shown = quote(&self.text[start..term.span.end]);
                return self.fail(format!("unexpected . after term {shown}"));
            }
            _ => Term::Chain(Box::new(term), fields),
        };
        Ok(Some(Expression { span, kind }))
    }

    fn term(&mut self) -> Parsing<Option<Expression>> {
        let before = self.next;
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                let Some(function) = functions::find(&token.text) else {
                    let name = quote(&token.text);
                    return self.fail(format!("function {name} not defined"));
                };
                Term::Function(function)
            }
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| *name == token.text) {
                    let name = quote(&token.text);
                    return self.fail(format!("undefined variable {name}"));
                }
                Term::Variable(token.text.to_string(), Vec::new())
            }
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Number => match number(&token) {
                Ok(number) => Term::Number(number),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                if self.nesting >= MAX_NESTING {
                    return self.fail("max expression depth exceeded");
                }
                self.nesting += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::Text(self.string(&token)?),
            _ => {
                self.next = before;
                return Ok(None);
            }
        };
        // Go names the first token inside the parentheses.
        let at = match &kind {
            Term::Pipe(pipe) => pipe.span.at,
            _ => token.start,
        };
        let (start, end) = match &kind {
            Term::Pipe(pipe) => (pipe.span.start, pipe.span.end),
            _ => (token.start, self.end()),
        };
        Ok(Some(Expression {
            span: Span { at, start, end },
            kind,
        }))
    }
}
