//! What the kernel half searches finds the class that the networks say.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::network::{NO_CLASS, Net, Network, steps};

/// Few addresses at both ends and in the middle, so that networks lie in each other.
fn address(bits: u8) -> impl Strategy<Value = u128> {
    let most = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    (prop_oneof![Just(0), Just(most), Just(most / 2)], 0..6u128, any::<bool>()).prop_map(
        move |(base, away, up)| {
            let moved = if up { base.checked_add(away) } else { base.checked_sub(away) };
            moved.filter(|one| *one <= most).unwrap_or(base)
        },
    )
}

fn networks(bits: u8) -> impl Strategy<Value = Vec<Net>> {
    let prefix = prop_oneof![Just(0), Just(1), Just(bits), bits - 3..bits];
    let net = (address(bits), prefix, 1..4_u32).prop_map(move |(address, prefix, class)| {
        let host = u32::from(bits - prefix);
        let address = address.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0);
        Net { prefix, address, class }
    });
    vec(net, 0..8).prop_map(|mut nets| {
        nets.sort_unstable();
        nets.dedup_by_key(|net| (net.prefix, net.address));
        nets
    })
}

fn found(steps: &[(u128, u32)], address: u128) -> u32 {
    let at = steps.partition_point(|one| one.0 <= address);
    at.checked_sub(1).and_then(|at| steps.get(at)).map_or(NO_CLASS, |one| one.1)
}

proptest! {
    #[test]
    fn steps_of_version_4_are_the_longest_networks(nets in networks(32), asked in address(32)) {
        let all = steps(&nets, 32);
        prop_assert!(all.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1));
        prop_assert_eq!(all[0].0, 0);
        let network = Network { v4: nets, ..Network::default() };
        let address = IpAddr::from(u32::try_from(asked).unwrap().to_be_bytes());
        prop_assert_eq!(found(&all, asked), network.class(address));
    }

    #[test]
    fn steps_of_version_6_are_the_longest_networks(nets in networks(128), asked in address(128)) {
        let all = steps(&nets, 128);
        prop_assert!(all.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1));
        let network = Network { v6: nets, ..Network::default() };
        prop_assert_eq!(found(&all, asked), network.class(IpAddr::from(asked.to_be_bytes())));
    }
}
