//! `kith init`: keys, a name, space to lend. Needs no daemon and no network.

use crate::cli::args::Init;
use crate::cli::{Context, passphrase, say};
use crate::daemon::api::Outcome;
use crate::daemon::setup::{self, NewNode};

/// What the machine calls itself, when nobody says.
fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().split('.').next().unwrap_or("node").to_string()
}

pub fn init(cx: &Context, args: &Init) -> Outcome<()> {
    let words = if args.passphrase { Some(passphrase(true)?) } else { None };
    let new = NewNode {
        label: args.name.clone().unwrap_or_else(host_name),
        lends: args.lend,
        grant: args.grant.unwrap_or(args.lend),
        household: args.household.clone(),
        listen: args.listen,
        passphrase: words,
    };
    let made = setup::init(&cx.home, &new)?;
    cx.print(&made, |made| {
        out!("'{}' is a node now, keys in {}.", say::escaped(&made.label), cx.home.state.display());
        if args.passphrase {
            out!("The keys are sealed: without the passphrase nobody, you included, can use them.");
        } else {
            out!("The keys are not sealed: whoever reads this disk has them (kith init --passphrase seals them).");
        }
        out!("Next: kith drive create NAME; kith invite FRIEND; or join one: kith join TICKET");
        out!("Then print what brings it all back when this machine is gone: kith recover --new");
    })
}
