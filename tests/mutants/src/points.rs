//! Finds the places where source code can be mutated: the operators and constants of its expressions.
//!
//! Only expressions at run time are mutated. Patterns, types, lengths, `const` items, attributes and macro definitions
//! stay unchanged.

use std::ops::Range;

use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Lit, Token, UnOp};

/// A place that can be mutated, in bytes of the source.
pub struct Point {
    /// The expression.
    pub whole: Range<usize>,
    /// The part of the expression that is replaced.
    pub part: Range<usize>,
    /// The possible replacements.
    pub changes: Vec<String>,
    /// Whether the part is an operator between two operands.
    pub between: bool,
}

/// Returns the points of a file. Uses of `constants`, the names of float64 constants, are points as well.
pub fn points(file: &syn::File, constants: &[String]) -> Vec<Point> {
    let mut finder = Finder { constants, points: Vec::new() };
    finder.visit_file(file);
    finder.points.retain(|point| !point.changes.is_empty());
    finder.points
}

/// Returns the names of the float64 constants that a file declares.
pub fn constants(file: &syn::File) -> Vec<String> {
    let names = file.items.iter().filter_map(|item| match item {
        syn::Item::Const(item) if is_f64(&item.ty) => Some(item.ident.to_string()),
        _ => None,
    });
    names.collect()
}

fn is_f64(type_: &syn::Type) -> bool {
    matches!(type_, syn::Type::Path(path) if path.path.is_ident("f64"))
}

/// Returns whether an item is compiled only for tests.
pub fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

struct Finder<'c> {
    constants: &'c [String],
    points: Vec<Point>,
}

impl Finder<'_> {
    fn add(&mut self, whole: &impl Spanned, part: &impl Spanned, changes: &[&str]) {
        let changes = changes.iter().map(|change| (*change).to_owned()).collect();
        self.points.push(Point {
            whole: whole.span().byte_range(),
            part: part.span().byte_range(),
            changes,
            between: false,
        });
    }

    /// Visits the arguments of a macro if they are expressions.
    fn arguments(&mut self, macro_: &syn::Macro) {
        let list = Punctuated::<Expr, Token![,]>::parse_terminated;
        let repeated = |input: syn::parse::ParseStream<'_>| -> syn::Result<[Expr; 2]> {
            let value = input.parse()?;
            input.parse::<Token![;]>()?;
            Ok([value, input.parse()?])
        };
        if let Ok(list) = macro_.parse_body_with(list) {
            list.iter().for_each(|argument| self.visit_expr(argument));
        } else if let Ok(both) = macro_.parse_body_with(repeated) {
            both.iter().for_each(|argument| self.visit_expr(argument));
        }
    }
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn alternatives(operator: &BinOp) -> &'static [&'static str] {
    match operator {
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "*"],
        BinOp::Mul(_) => &["/", "+"],
        BinOp::Div(_) => &["*", "-"],
        BinOp::Rem(_) => &["*", "/"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::BitAnd(_) => &["|"],
        BinOp::BitOr(_) => &["&"],
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", ">"],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<"],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+=", "*="],
        BinOp::MulAssign(_) => &["/=", "+="],
        BinOp::DivAssign(_) => &["*=", "-="],
        _ => &[],
    }
}

fn other_float(value: f64) -> f64 {
    match value {
        0.0 => 1.0,
        1.0 => 2.0,
        0.5 => 0.25,
        // Rounded for readability.
        other => format!("{:.4e}", other * 1.1).parse().unwrap_or(other * 1.1),
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        // A `let` chain is valid only as a condition, so it can't be replaced.
        if !has_let(&binary.left) && !has_let(&binary.right) {
            let changes = alternatives(&binary.op).iter().map(|change| (*change).to_owned()).collect();
            let (whole, part) = (binary.span().byte_range(), binary.op.span().byte_range());
            self.points.push(Point { whole, part, changes, between: true });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if matches!(unary.op, UnOp::Neg(_) | UnOp::Not(_)) {
            self.add(unary, &unary.op, &[""]);
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        match &literal.lit {
            Lit::Bool(value) => self.add(literal, literal, &[if value.value { "false" } else { "true" }]),
            Lit::Int(value) => {
                let Ok(number) = value.base10_parse::<u64>() else { return };
                let with = |number: u64| format!("{number}{}", value.suffix());
                let (more, less) = (with(number + 1), with(number.saturating_sub(1)));
                let both: [&str; 2] = [&more, &less];
                self.add(literal, literal, if number > 0 { &both } else { &both[..1] });
            }
            Lit::Float(value) => {
                let Ok(number) = value.base10_parse::<f64>() else { return };
                self.add(literal, literal, &[&format!("{:?}{}", other_float(number), value.suffix())]);
            }
            _ => {}
        }
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let name = path.path.get_ident().map(ToString::to_string);
        if let Some(name) = name.filter(|name| self.constants.contains(name)) {
            self.add(path, path, &[&format!("{name} * 1.1")]);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        match (call.method.to_string().as_str(), call.args.len()) {
            ("max", 1) => self.add(call, &call.method, &["min"]),
            ("min", 1) => self.add(call, &call.method, &["max"]),
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_macro(&mut self, macro_: &'ast syn::Macro) {
        let name = macro_.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if ["sum", "greatest", "for_each_block", "vec"].contains(&name.as_str()) {
            self.arguments(macro_);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_signature(&mut self, _: &'ast syn::Signature) {}
    fn visit_angle_bracketed_generic_arguments(&mut self, _: &'ast syn::AngleBracketedGenericArguments) {}
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
}
