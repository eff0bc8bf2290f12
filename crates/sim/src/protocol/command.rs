//! The command line of `protocol-model`.
//!
//! Must never decide what is checked: scenarios and rules come from their own files.

use super::explore::{Outcome, explore};
use super::rule::{Rule, Rules};
use super::scenario::Scenario;
use super::scenarios;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// How to call the program.
pub const USAGE: &str =
    "usage: protocol-model [--scenario NAME] [--deep] [--all | --without RULE | --first-design] [--threads N]
  --scenario NAME   only this scenario; otherwise every one
  --deep            the larger scenarios too (many minutes, some GiB; use --release)
  --without RULE    switch the rule off and print how that is caught
  --first-design    switch off every rule that the model made necessary
  --all             also each rule in turn: which scenarios catch its absence
  --threads N       threads to search with [2]";

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    scenarios: Vec<Scenario>,
    rules: Rules,
    all: bool,
    threads: usize,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut name, mut deep) = (None, false);
        let mut options = Self { scenarios: Vec::new(), rules: Rules::FULL, all: false, threads: 2 };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--scenario" => name = Some(value()?),
                "--deep" => deep = true,
                "--without" => options.rules = options.rules.without(value()?.parse()?),
                "--first-design" => options.rules = Rules::first_design(),
                "--all" => options.all = true,
                "--threads" => {
                    options.threads = value()?.parse().map_err(|_| "--threads needs a number".to_owned())?;
                }
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        options.scenarios = match name {
            Some(name) => {
                vec![scenarios::named(&name).ok_or_else(|| format!("no scenario is called {name}"))?]
            }
            None if deep => scenarios::ordinary().into_iter().chain(scenarios::deep()).collect(),
            None => scenarios::ordinary(),
        };
        Ok(options)
    }
}

/// Explores what `options` ask for and writes what was found to `out`.
pub fn run(options: &Options, out: &mut impl Write) -> ExitCode {
    match check(options, out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("write the result: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    let mut good = true;
    for scenario in &options.scenarios {
        let scenario = Scenario { rules: options.rules, ..scenario.clone() };
        good &= explore_one(&scenario, options.threads, out)?;
    }
    if options.all {
        for &rule in Rule::ALL {
            good &= drop_one(rule, options, out)?;
        }
    }
    Ok(good)
}

fn explore_one(scenario: &Scenario, threads: usize, out: &mut impl Write) -> io::Result<bool> {
    let started = Instant::now();
    let Outcome { states, counterexample } = explore(scenario, threads);
    let seconds = started.elapsed().as_secs_f64();
    let name = scenario.name;
    match &counterexample {
        None => writeln!(out, "{name}: holds in {states} states ({seconds:.1} s): {}", scenario.about)?,
        Some(found) => writeln!(out, "{name}: {found}")?,
    }
    Ok(counterexample.is_none())
}

fn drop_one(rule: Rule, options: &Options, out: &mut impl Write) -> io::Result<bool> {
    write!(out, "without {rule}:")?;
    let mut caught = false;
    for scenario in &options.scenarios {
        let broken = Scenario { rules: Rules::FULL.without(rule), ..scenario.clone() };
        if let Some(found) = explore(&broken, options.threads).counterexample {
            caught = true;
            write!(out, " {}({}, {} steps)", scenario.name, found.property, found.steps.len())?;
            out.flush()?;
        }
    }
    writeln!(out, "{}", if caught { "" } else { " NOT CAUGHT" })?;
    Ok(caught)
}
