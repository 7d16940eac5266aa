//! The decisions, one by one, and replicas that make them side by side.

use time::OffsetDateTime;

use super::*;
use crate::certs::tests::{NOW, users_pair};

const SECOND: Duration = Duration::from_secs(1);
const LEAF: Duration = Duration::from_secs(20);
const AUTHORITY: Duration = Duration::from_mins(1);
const RENEW_BEFORE: Duration = Duration::from_secs(9);
/// A third of it.
const SETTLE: Duration = Duration::from_secs(3);

/// A Secret with its version.
#[derive(Clone, Default)]
struct Secret {
    data: Data,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Secret and caBundles as the API server holds them.
#[derive(Clone)]
struct Cluster {
    version: u32,
    secret: Option<Secret>,
    bundles: [String; 2],
    now: OffsetDateTime,
}

/// One replica, and what it presents.
struct Replica {
    keeper: Keeper,
    started: OffsetDateTime,
    /// How wrong its clock is.
    clock: time::Duration,
    presented: Option<Arc<ServingPair>>,
    /// Since when it is ready, so that it is called.
    ready: Option<OffsetDateTime>,
}

impl Secret {
    fn of(data: Data) -> Self {
        let (label, ours) = OWNER_LABEL;
        Self { data, labels: [(label.to_owned(), ours.to_owned())].into(), annotations: BTreeMap::new() }
    }

    fn found(&self) -> Found<'_> {
        let Self { data, labels, annotations } = self;
        Found { data, labels, annotations }
    }

    fn authorities(&self) -> Vec<Authority> {
        Authority::readable_in(&self.data["ca.crt"])
    }
}

impl Cluster {
    fn new() -> Self {
        Self { version: 0, secret: None, bundles: [String::new(), String::new()], now: NOW }
    }

    fn secret(&self) -> &Secret {
        self.secret.as_ref().unwrap()
    }

    fn live(&self) -> Live {
        Live::of(self.bundles.iter().map(String::as_bytes))
    }

    fn trusts(&self, pair: &ServingPair) -> bool {
        self.live().verifies(pair, &name(), self.now)
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("chartgate.chartgate-system.svc").unwrap()
}

fn lifetimes() -> Lifetimes {
    Lifetimes::new(Some(AUTHORITY), Some(LEAF), Some(RENEW_BEFORE)).unwrap()
}

impl Replica {
    fn start(cluster: &Cluster) -> Self {
        let keeper = Keeper::new("chartgate", "chartgate-system", lifetimes(), 0.0);
        Self { keeper, started: cluster.now, clock: time::Duration::ZERO, presented: None, ready: None }
    }

    fn decide(&mut self, seen: &Cluster, now: OffsetDateTime) -> Decision {
        let uptime = (now - self.started).try_into().unwrap();
        let moment = Moment { now: now + self.clock, uptime };
        let decision =
            self.keeper.decide(seen.secret.as_ref().map(Secret::found), &seen.live(), moment).unwrap();
        if let Some(pair) = &decision.present {
            self.presented = Some(Arc::clone(pair));
        }
        self.ready = decision.unready.is_none().then(|| self.ready.unwrap_or(now));
        decision
    }

    /// Does what it decides by what it has seen, as the loop around it would: the write only if nobody was faster, the
    /// caBundles by the Secret as it is.
    fn act(&mut self, seen: &Cluster, cluster: &mut Cluster) -> Option<Why> {
        let Decision { bundle, write, .. } = self.decide(seen, cluster.now);
        if let Some(write) = write {
            if seen.version == cluster.version {
                cluster.version += 1;
                cluster.secret.get_or_insert_with(|| Secret::of(Data::new())).data = write.data;
                return Some(write.why);
            }
        } else if bundle.is_some()
            && let Some(secret) = &cluster.secret
            && let Some(bundle) = self.keeper.bundle(secret.found(), cluster.now + self.clock)
        {
            cluster.bundles = [bundle.clone(), bundle];
        }
        None
    }

    /// Acts until there is nothing more to do now, and returns why it wrote.
    fn settle(&mut self, cluster: &mut Cluster) -> Vec<Why> {
        let mut reasons = Vec::new();
        for _ in 0..6 {
            let seen = cluster.clone();
            reasons.extend(self.act(&seen, cluster));
        }
        let Decision { write, .. } = self.decide(&cluster.clone(), cluster.now);
        assert!(write.is_none(), "it writes and writes: {:?}", write.map(|write| write.why));
        reasons
    }
}

/// A cluster with a replica that has started, long enough ago that everything has settled.
fn started() -> (Cluster, Replica) {
    let mut cluster = Cluster::new();
    let mut replica = Replica::start(&cluster);
    assert_eq!(replica.settle(&mut cluster), [Why::Missing]);
    cluster.now += SETTLE;
    assert_eq!(replica.settle(&mut cluster), []);
    (cluster, replica)
}

/// The same, stopped where a new authority is in the Secret, and not yet in any caBundle.
fn with_a_new_authority() -> (Cluster, Replica) {
    let (mut cluster, mut replica) = started();
    loop {
        cluster.now += SECOND;
        let seen = cluster.clone();
        match replica.act(&seen, &mut cluster) {
            Some(Why::AuthorityDue) => return (cluster, replica),
            Some(Why::LeafDue) | None => {}
            Some(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_first_start_makes_everything_and_is_ready_when_it_is_trusted() {
    let mut cluster = Cluster::new();
    let mut replica = Replica::start(&cluster);
    let decision = replica.decide(&cluster, cluster.now);
    assert_eq!(decision.unready, Some(Unready::NoCertificate));
    assert_eq!(decision.bundle, None);
    let Write { data, why, leaf, authority } = decision.write.unwrap();
    assert_eq!((why, leaf, authority), (Why::Missing, true, true));
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);

    cluster.secret = Some(Secret::of(data));
    let decision = replica.decide(&cluster, cluster.now);
    assert!(decision.present.is_some() && decision.write.is_none());
    assert_eq!(decision.unready, Some(Unready::NotTrusted));
    let bundle = decision.bundle.unwrap();
    assert_eq!(bundle.as_bytes(), cluster.secret().data["ca.crt"]);

    // One of the two configurations is not enough.
    cluster.bundles[0].clone_from(&bundle);
    assert_eq!(replica.decide(&cluster, cluster.now).unready, Some(Unready::NotTrusted));
    cluster.bundles[1] = bundle;
    assert_eq!(replica.decide(&cluster, cluster.now).unready, None);
}

#[test]
fn nobody_calls_where_there_is_no_configuration() {
    let (cluster, mut replica) = started();
    let moment = Moment { now: cluster.now, uptime: SETTLE };
    let decision = replica.keeper.decide(Some(cluster.secret().found()), &Live::of([]), moment).unwrap();
    assert_eq!(decision.unready, None);
}

#[test]
fn makes_nothing_before_it_knows_who_is_trusted_unless_that_takes_too_long() {
    let mut keeper = Keeper::new("chartgate", "chartgate-system", lifetimes(), 0.0);
    for (uptime, writes) in [(Duration::ZERO, false), (WAIT_FOR_TRUST, true)] {
        let decision = keeper.decide(None, &Live::unknown(), Moment { now: NOW, uptime }).unwrap();
        assert_eq!(decision.write.is_some(), writes);
    }
}

#[test]
fn a_server_that_knows_no_configuration_yet_says_so() {
    let (cluster, _) = started();
    let mut replica = Replica::start(&cluster);
    let moment = Moment { now: cluster.now, uptime: Duration::ZERO };
    let decision = replica.keeper.decide(Some(cluster.secret().found()), &Live::unknown(), moment).unwrap();
    assert!(decision.present.is_some());
    assert_eq!(decision.unready, Some(Unready::TrustUnknown));
}

#[test]
fn of_two_that_start_at_once_both_serve_what_one_made() {
    let mut cluster = Cluster::new();
    let (mut one, mut other) = (Replica::start(&cluster), Replica::start(&cluster));
    let seen = cluster.clone();
    assert_eq!(one.act(&seen, &mut cluster), Some(Why::Missing));
    assert_eq!(other.act(&seen, &mut cluster), None, "it was too late");
    for replica in [&mut one, &mut other] {
        assert_eq!(replica.settle(&mut cluster), []);
    }
    assert!(one.presented.unwrap().is_same_as(&other.presented.unwrap()));
}

#[test]
fn a_secret_of_somebody_else_is_neither_used_nor_touched() {
    let cases = [
        (("app.kubernetes.io/managed-by", "Helm"), None, Owner::Somebody),
        (("app", "chartgate"), None, Owner::Somebody),
        (
            OWNER_LABEL,
            Some("cert-manager.io/certificate-name"),
            Owner::CertManager { by: "cert-manager.io/certificate-name".into() },
        ),
        (
            ("controller.cert-manager.io/fao", "true"),
            None,
            Owner::CertManager { by: "controller.cert-manager.io/fao".into() },
        ),
    ];
    for (label, annotation, owner) in cases {
        for data in [Data::new(), started().0.secret().data.clone()] {
            let mut cluster = Cluster::new();
            let labels = [(label.0.to_owned(), label.1.to_owned())].into();
            let annotations = annotation.map(|key| (key.to_owned(), "x".to_owned())).into_iter().collect();
            cluster.secret = Some(Secret { data, labels, annotations });
            let mut replica = Replica::start(&cluster);
            let decision = replica.decide(&cluster, cluster.now);
            assert!(decision.write.is_none() && decision.bundle.is_none() && decision.present.is_none());
            assert_eq!(decision.unready, Some(Unready::NotOurs(owner.clone())));
            assert_eq!(decision.not_ours, Some(owner.clone()));
            assert_eq!(replica.keeper.bundle(cluster.secret().found(), cluster.now), None);
        }
    }
}

#[test]
fn who_serves_already_goes_on_when_somebody_else_takes_the_secret_over() {
    let (mut cluster, mut replica) = started();
    cluster.secret = Some(Secret::default());
    let decision = replica.decide(&cluster, cluster.now);
    assert_eq!(decision.not_ours, Some(Owner::Somebody));
    assert_eq!(decision.unready, None);
}

/// Breaks the data of a Secret that has settled, and expects these problems and then a whole Secret again.
fn repairs(break_it: impl FnOnce(&mut Data), expected: Vec<Problem>) -> (Secret, Secret) {
    let (mut cluster, mut replica) = started();
    let before = cluster.secret().clone();
    break_it(&mut cluster.secret.as_mut().unwrap().data);
    cluster.version += 1;
    let reasons = replica.settle(&mut cluster);
    assert_eq!(reasons.first(), Some(&Why::Broken(expected)));
    assert!(cluster.trusts(replica.presented.as_ref().unwrap()));
    cluster.now += SETTLE;
    replica.settle(&mut cluster);
    assert!(cluster.trusts(replica.presented.as_ref().unwrap()));
    // Another one that starts now finds nothing wrong.
    let mut other = Replica::start(&cluster);
    assert_eq!(other.settle(&mut cluster), []);
    (before, cluster.secret.unwrap())
}

fn missing(key: &'static str) -> Problem {
    Problem::Missing { key }
}

#[test]
fn an_empty_secret_of_ours_is_filled_and_who_is_trusted_stays_so() {
    let all = ["ca.crt", "ca.key", "tls.crt", "tls.key"];
    let (before, after) =
        repairs(Data::clear, vec![missing("ca.crt"), missing("ca.key"), missing("tls.crt")]);
    assert!(all.iter().all(|key| after.data.contains_key(*key)));
    assert!(
        after.authorities()[1].is_same_as(&before.authorities()[0]),
        "other replicas may still show its leaf"
    );
}

#[test]
fn garbage_is_replaced() {
    let garbage = |data: &mut Data| {
        for value in data.values_mut() {
            *value = b"garbage".to_vec();
        }
    };
    repairs(
        garbage,
        vec![
            unusable("ca.crt holds something else than certificates"),
            unusable("ca.key holds no key that can sign"),
            unusable("tls.crt holds no PEM certificate"),
        ],
    );
}

fn unusable(reason: &str) -> Problem {
    Problem::Unusable { reason: reason.into() }
}

#[test]
fn a_lost_leaf_is_signed_anew_by_the_same_authority() {
    for key in ["tls.crt", "tls.key"] {
        let (before, after) = repairs(|data| drop(data.remove(key)), vec![missing(key)]);
        assert_eq!(after.data["ca.crt"], before.data["ca.crt"]);
        assert_eq!(after.data["ca.key"], before.data["ca.key"]);
    }
}

#[test]
fn a_lost_authority_key_begins_a_new_authority_and_keeps_the_leaf_meanwhile() {
    let (mut cluster, mut replica) = started();
    let leaf = cluster.secret().data["tls.crt"].clone();
    cluster.secret.as_mut().unwrap().data.remove("ca.key");
    assert_eq!(replica.settle(&mut cluster), [Why::Broken(vec![missing("ca.key")])]);
    assert_eq!(cluster.secret().data["tls.crt"], leaf);
    assert_eq!(cluster.secret().authorities().len(), 2);
    cluster.now += SETTLE;
    assert_eq!(replica.settle(&mut cluster), [Why::AuthorityTrusted]);
}

#[test]
fn a_truncated_certificate_is_replaced() {
    repairs(
        |data| data.get_mut("tls.crt").unwrap().truncate(100),
        vec![unusable("tls.crt is not valid PEM: the line \"-----END CERTIFICATE-----\" is missing")],
    );
}

#[test]
fn a_key_of_another_certificate_is_replaced() {
    let (_, key) = users_pair();
    let (before, after) = repairs(
        |data| drop(data.insert("tls.key".into(), key.into_bytes())),
        vec![unusable(
            "tls.key is not the key of the first certificate in tls.crt: replace both by one pair, the server's own \
             certificate first",
        )],
    );
    assert_eq!(after.data["ca.crt"], before.data["ca.crt"]);
}

#[test]
fn a_pair_of_somebody_else_in_our_secret_is_replaced() {
    let (certificate, key) = users_pair();
    let put = |data: &mut Data| {
        data.insert("tls.crt".into(), certificate.into_bytes());
        data.insert("tls.key".into(), key.into_bytes());
    };
    repairs(put, vec![Problem::OtherNames]);
}

#[test]
fn a_pair_of_another_authority_is_replaced() {
    let signer = Signer::generate().unwrap();
    let names = Names::of_service("chartgate", "chartgate-system");
    let (certificate, key) = signer.pair(&names, Validity::of(time::Duration::HOUR, NOW)).unwrap();
    let put = |data: &mut Data| {
        data.insert("tls.crt".into(), certificate.into_bytes());
        data.insert("tls.key".into(), key.into_bytes());
    };
    repairs(put, vec![Problem::ForeignCertificate]);
}

#[test]
fn an_authority_of_somebody_else_is_not_trusted() {
    let (foreign, _) = users_pair();
    let put = |data: &mut Data| data.get_mut("ca.crt").unwrap().extend(foreign.as_bytes());
    let (before, after) = repairs(put, vec![Problem::ForeignAuthority]);
    assert_eq!(after.data, before.data);
}

#[test]
fn a_key_of_another_authority_begins_a_new_one() {
    let key = Signer::generate().unwrap().to_pem().into_bytes();
    let put = |data: &mut Data| drop(data.insert("ca.key".into(), key));
    repairs(put, vec![Problem::ForeignAuthorityKey]);
}

#[test]
fn a_retirement_that_cannot_be_read_is_dropped() {
    let put = |data: &mut Data| drop(data.insert("retire-at".into(), b"soon".to_vec()));
    let (before, after) = repairs(put, vec![unusable("retire-at holds no point in time")]);
    assert_eq!(after.data, before.data);
}

#[test]
fn what_a_user_added_stays() {
    let (mut cluster, mut replica) = started();
    cluster.secret.as_mut().unwrap().data.insert("note".into(), b"mine".to_vec());
    assert_eq!(replica.settle(&mut cluster), []);
    cluster.now += LEAF;
    replica.settle(&mut cluster);
    assert_eq!(cluster.secret().data["note"], b"mine");
}

#[test]
fn a_deleted_secret_is_made_again_and_nobody_is_cut_off() {
    let (mut cluster, mut replica) = started();
    let mut other = Replica::start(&cluster);
    other.settle(&mut cluster);
    let served = replica.presented.clone().unwrap();
    let before = cluster.secret.take().unwrap();
    cluster.version += 1;
    assert_eq!(replica.settle(&mut cluster), [Why::Missing]);
    assert!(cluster.secret().authorities()[1].is_same_as(&before.authorities()[0]));
    // Both show the old pair until every API server knows the new authority.
    other.settle(&mut cluster);
    for replica in [&replica, &other] {
        assert!(replica.presented.as_ref().unwrap().is_same_as(&served));
    }
    cluster.now += SETTLE;
    for replica in [&mut replica, &mut other] {
        replica.settle(&mut cluster);
        assert!(!replica.presented.as_ref().unwrap().is_same_as(&served));
    }
}

#[test]
fn a_server_that_finds_garbage_keeps_trusted_what_others_may_show() {
    let (mut cluster, old) = started();
    cluster.secret = Some(Secret::of(Data::new()));
    Replica::start(&cluster).settle(&mut cluster);
    assert!(cluster.trusts(old.presented.as_ref().unwrap()));
}

#[test]
fn renews_a_leaf_in_time_and_under_the_same_authority() {
    let (mut cluster, mut replica) = started();
    let before = cluster.secret().clone();
    let due = replica.presented.as_ref().unwrap().not_after() - RENEW_BEFORE;
    cluster.now = due - SECOND;
    assert_eq!(replica.settle(&mut cluster), []);
    let decision = replica.decide(&cluster.clone(), cluster.now);
    assert_eq!(decision.look_again, SECOND, "it looks again when it is due");
    cluster.now = due;
    assert_eq!(replica.settle(&mut cluster), [Why::LeafDue]);
    assert_eq!(cluster.secret().data["ca.crt"], before.data["ca.crt"]);
    assert_eq!(replica.presented.unwrap().not_after(), due + LEAF);
}

#[test]
fn a_cluster_that_was_switched_off_for_long_starts_again() {
    for off in [LEAF, AUTHORITY, AUTHORITY * 10] {
        let (mut cluster, _) = started();
        cluster.now += off + SECOND;
        let mut replica = Replica::start(&cluster);
        let reasons = replica.settle(&mut cluster);
        assert!(matches!(reasons.first(), Some(Why::Broken(_))), "{reasons:?}");
        assert!(cluster.trusts(&replica.presented.unwrap()));
    }
}

#[test]
fn a_new_authority_is_trusted_everywhere_before_anything_that_it_signed_is_shown() {
    let (mut cluster, mut replica) = with_a_new_authority();
    let [new, old] = <[Authority; 2]>::try_from(cluster.secret().authorities()).unwrap();
    let leaf = replica.presented.clone().unwrap();
    assert!(old.vouches_for(&leaf, &name()));
    assert!(!cluster.live().holds(&new), "it crashed before it wrote the caBundles");
    // Whoever starts now goes on from here.
    let mut other = Replica::start(&cluster);
    assert_eq!(other.settle(&mut cluster), []);
    assert!(other.presented.as_ref().unwrap().is_same_as(&leaf));
    assert!(cluster.live().holds(&new) && cluster.live().holds(&old));
    assert_eq!(other.settle(&mut cluster), [], "API servers need a moment");

    cluster.now += SETTLE;
    assert_eq!(other.settle(&mut cluster), [Why::AuthorityTrusted]);
    assert!(new.vouches_for(other.presented.as_ref().unwrap(), &name()));
    // The first was asleep all the time: it is still trusted.
    assert!(cluster.trusts(&leaf) && cluster.live().holds(&old));
    replica.settle(&mut cluster);

    // The old one goes when the last leaf that it signed has ended, and not before.
    cluster.now = leaf.not_after() - SECOND;
    other.settle(&mut cluster);
    assert!(cluster.live().holds(&old));
    cluster.now = leaf.not_after();
    assert_eq!(other.settle(&mut cluster), [Why::AuthorityRetired]);
    assert!(!cluster.live().holds(&old) && cluster.live().holds(&new));
    assert!(!cluster.secret().data.contains_key("retire-at"));
}

#[test]
fn one_configuration_without_the_new_authority_holds_everything_up() {
    let (mut cluster, mut replica) = with_a_new_authority();
    let bundle = replica.keeper.bundle(cluster.secret().found(), cluster.now).unwrap();
    cluster.bundles[0] = bundle;
    for _ in 0..5 {
        cluster.now += SECOND;
        let decision = replica.decide(&cluster.clone(), cluster.now);
        assert!(decision.write.is_none() && decision.present.is_none());
    }
}

#[test]
fn an_authority_that_nobody_can_be_told_of_signs_when_the_old_leaf_has_ended() {
    let (mut cluster, mut replica) = with_a_new_authority();
    let leaf = replica.presented.clone().unwrap();
    cluster.now = leaf.not_after() + SECOND;
    let decision = replica.decide(&cluster.clone(), cluster.now);
    assert!(matches!(decision.write.unwrap().why, Why::Broken(_)));
}

#[test]
fn clocks_that_are_wrong_make_nobody_undo_the_work_of_others() {
    for clock in [time::Duration::days(1), time::Duration::days(-1), time::Duration::days(4000)] {
        let (mut cluster, mut right) = started();
        let mut wrong = Replica::start(&cluster);
        wrong.clock = clock;
        let mut writes = 0;
        for _ in 0..20 {
            cluster.now += SECOND / 4;
            writes += wrong.settle(&mut cluster).len() + right.settle(&mut cluster).len();
        }
        assert!(writes <= 6, "{clock}: {writes} writes in five seconds");
        assert!(right.presented.as_ref().unwrap().is_valid_at(cluster.now));
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_end_the_wait_for_api_servers() {
    let (mut cluster, mut replica) = with_a_new_authority();
    replica.settle(&mut cluster);
    // The date jumps ahead while hardly any time passes.
    replica.clock = time::Duration::seconds(3);
    cluster.now += SECOND;
    assert_eq!(replica.settle(&mut cluster), []);
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Replicas that act late, see what was true a while ago, crash at any step and start again, and API servers that act
/// on a caBundle of a second ago: every call is trusted.
#[test]
fn no_call_ever_fails_however_replicas_sleep_race_and_crash() {
    for seed in 0..2 {
        let mut dice = Dice(seed);
        let mut cluster = Cluster::new();
        let mut replicas = [Replica::start(&cluster), Replica::start(&cluster), Replica::start(&cluster)];
        for replica in &mut replicas {
            replica.settle(&mut cluster);
        }
        let mut history = vec![cluster.clone()];
        let (mut leaves, mut authorities, mut calls) = (0, 0, 0);
        for _ in 0..600 {
            cluster.now += SECOND / 4;
            let replica = &mut replicas[usize::try_from(dice.roll(3)).unwrap()];
            match dice.roll(100) {
                0 => {
                    *replica = Replica::start(&cluster);
                    replica.settle(&mut cluster);
                }
                1 => {
                    if let Some(secret) = &mut cluster.secret {
                        secret.data.clear();
                    }
                }
                2 => cluster.secret = None,
                3 => {
                    if let Some(secret) = &mut cluster.secret {
                        secret.data.remove("ca.key");
                    }
                }
                _ => {}
            }
            // What it sees may be a second old.
            let age = usize::try_from(dice.roll(4)).unwrap();
            let seen =
                if age == 0 { cluster.clone() } else { history[history.len().saturating_sub(age)].clone() };
            let before = cluster.secret.clone();
            match replica.act(&seen, &mut cluster) {
                Some(Why::LeafDue | Why::AuthorityTrusted) => leaves += 1,
                Some(Why::AuthorityDue) => authorities += 1,
                _ => {}
            }
            if before.map(|secret| secret.data) != cluster.secret.as_ref().map(|secret| secret.data.clone()) {
                cluster.version += 1;
            }
            history.push(cluster.clone());
            let late = &history[history.len().saturating_sub(5)];
            for replica in &replicas {
                let pair = replica.presented.as_ref().unwrap();
                // Who has just started is not called yet, and who sleeps past the end of his leaf not any more.
                let is_called = replica.ready.is_some_and(|since| since + SECOND < cluster.now);
                if is_called && pair.is_valid_at(cluster.now) {
                    assert!(cluster.trusts(pair), "seed {seed}, {}", cluster.now);
                    assert!(
                        late.live().verifies(pair, &name(), cluster.now),
                        "seed {seed}: late, {}",
                        cluster.now
                    );
                    calls += 1;
                }
            }
        }
        assert!(leaves > 3 && calls > 500, "{leaves} {authorities} {calls}");
    }
}

#[test]
fn nothing_that_can_be_shown_holds_a_key() {
    let (cluster, replica) = started();
    let key = String::from_utf8(cluster.secret().data["tls.key"].clone()).unwrap();
    let line = key.lines().nth(1).unwrap();
    let shown = format!("{:?} {:?}", replica.presented, cluster.live());
    assert!(!shown.contains(line));
}

#[test]
fn a_bundle_is_lost_where_nothing_of_ours_is_in_its_place() {
    let (cluster, _) = with_a_new_authority();
    let (before, after) = (&cluster.bundles[0], cluster.secret().data["ca.crt"].clone());
    let after = String::from_utf8(after).unwrap();
    let (foreign, _) = users_pair();
    let is_lost =
        |bundles: [&str; 2], known: &str, now| Live::is_lost(bundles.map(str::as_bytes), known, now);
    for place in ["", "garbage", &foreign] {
        assert!(is_lost([place, before], before, cluster.now), "{place}");
        assert!(is_lost([place, place], &after, cluster.now), "{place}");
    }
    assert!(!is_lost([&after, ""], before, cluster.now), "another replica knows more than we");
    assert!(!is_lost([before, ""], &after, cluster.now), "we may know what is no longer true");
    let later = cluster.now + AUTHORITY * 2;
    assert!(is_lost([before, ""], &after, later), "nobody can rely on what has expired");
}
