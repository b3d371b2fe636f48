"""Data-driven models trained by the job, and credit given anew, on a real backend."""

import json
from contextlib import closing

import pytest

from mbuzz.server.app import create_app
from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.attribution.paths import PathTable
from mbuzz.server.attribution.trained import TRAINED, train
from mbuzz.server.settings import ServerSettings
from mbuzz.server.tracking import trained as trained_models
from tests.server.models import ModelShop

HOUR = 3_600


@pytest.fixture
def shop(model_shop):
    return model_shop


def town(shop, size=1):
    """Have people come; what they do is known: {path: (conversions, others)}."""
    for number in range(size):
        shop.journey(f"a{number}", "paid_search", "email", days=2)
        shop.buy(f"a{number}")
        shop.journey(f"b{number}", "email", days=2)
        shop.buy(f"b{number}")
        shop.journey(f"c{number}", "paid_search", days=2)
        shop.journey(f"d{number}", "paid_social", "paid_search", days=2)
    table = PathTable()
    table.add(("paid_search", "email"), conversions=size)
    table.add(("email",), conversions=size)
    table.add(("paid_search",), nulls=size)
    table.add(("paid_social", "paid_search"), nulls=size)
    return table


def trained(shop, model):
    return shop.asked("GET", f"/{model}")["training"]


@pytest.mark.parametrize("model", TRAINED)
def test_the_job_learns_from_buyers_and_others_what_the_pure_model_learns(shop, model):
    wanted = train(model, town(shop, 2))

    said = shop.work()

    assert said["training"] == "3 models learned something new"
    found = trained(shop, model)
    assert (found["version"], found["journeys"], found["conversions"]) == (1, 8, 4)
    assert found["diagnostics"] == json.loads(json.dumps(dict(wanted.diagnostics)))
    assert found["diagnostics"]["small_sample"] is True


def test_trained_models_credit_every_conversion_there_is(shop):
    town(shop, 2)
    assert set(shop.report()["models"]) == set(PRESETS)

    shop.work()

    report = shop.report()
    assert set(report["models"]) == {*PRESETS, *TRAINED}
    assert report["incomplete_models"] == []
    assert report["totals"]["conversions"] == 4
    for model in report["models"]:
        sums = [float(row["credits"][model]["revenue"]) for row in report["rows"]]
        assert sum(sums) == pytest.approx(120), model


def test_conversions_after_a_training_are_credited_at_once(shop):
    town(shop)
    shop.work()

    shop.journey("new", "paid_search", "email")
    sold = shop.buy("new")

    assert sold["attribution"]["pending"] == []
    assert set(sold["attribution"]["models"]) == {*PRESETS, *TRAINED}
    effects = trained(shop, "markov")["diagnostics"]["removal_effects"]
    whole = effects["paid_search"] + effects["email"]
    assert shop.credits_of(sold, "markov") == [
        ("paid_search", pytest.approx(effects["paid_search"] / whole, abs=1e-6)),
        ("email", pytest.approx(effects["email"] / whole, abs=1e-6)),
    ]


def test_credits_say_by_which_training(shop):
    town(shop)
    shop.work()
    sold = shop.buy("a0", days=0.1)

    full = shop.caller.get(f"/conversions/{sold['conversion_id']}").json()

    whys = [credit["why"] for credit in full["attribution_credits"]["markov"]]
    effects = trained(shop, "markov")["diagnostics"]["removal_effects"]
    assert {why["version"] for why in whys} == {1}
    assert [why["weight"] for why in whys] == pytest.approx(
        [effects["paid_search"], effects["email"]]
    )


def test_what_is_learned_anew_is_a_new_version_and_the_old_one_can_be_tried(shop):
    town(shop)
    shop.work()
    before = trained(shop, "markov")
    for number in range(3):
        shop.journey(f"e{number}", "paid_search", "paid_social", days=2)
        shop.buy(f"e{number}", days=0.2)

    shop.work()

    after = trained(shop, "markov")
    assert (before["version"], after["version"]) == (1, 2)
    assert after["conversions"] == 5
    versions = shop.asked("GET", "/markov/versions")["trainings"]
    assert [one["version"] for one in versions] == [2, 1]
    then = shop.asked("GET", "/markov?version=1")["training"]
    assert then["diagnostics"] == before["diagnostics"]
    tried = shop.asked(
        "POST", "/preview", {"model": "markov", "version": 1, "compare": "markov"}
    )
    assert any(row["preview"] != row["compared"] for row in tried["real"]["rows"])


def test_nothing_new_is_no_new_version(shop):
    town(shop)
    shop.work()
    shop.clock.advance(2 * HOUR)

    (outcome,) = [shop.jobs.run("training")]

    assert (outcome.status, outcome.said) == ("ok", "")
    assert trained(shop, "markov")["version"] == 1
    assert "recrediting" not in shop.work()


def test_memory_keeps_the_latest_training_of_a_model_alone(shop, monkeypatch):
    kept = trained_models._Kept()
    monkeypatch.setattr(trained_models, "_KEPT", kept)
    town(shop)
    shop.work()

    shop.journey("e", "paid_search", "email", "email", days=2)
    shop.buy("e", days=0.2)
    shop.clock.advance(2 * HOUR)
    shop.jobs.run("training")
    shop.work()

    assert trained(shop, "markov")["version"] == 2
    assert {model for _, model in kept._known} == set(TRAINED)
    assert len(kept._known) == len(TRAINED)


def test_the_job_waits_until_twice_as_much_is_known(shop):
    town(shop)
    shop.work()

    shop.journey("f", "email")
    shop.buy("f", days=0.2)
    assert "training" not in shop.work()
    shop.journey("g", "email")
    shop.buy("g", days=0.2)

    assert "training" in shop.work()


def test_without_conversions_there_is_nothing_to_learn(shop):
    shop.journey("a", "email")

    assert shop.work() == {}
    assert shop.jobs.run("training").status == "ok"
    assert shop.asked("GET", "/markov")["status"] == "untrained"


def test_conversions_without_any_visit_teach_nothing_and_are_not_asked_again(shop):
    shop.buy("nobody")

    assert shop.work() == {}
    assert shop.work() == {}
    assert shop.asked("GET", "/markov")["status"] == "untrained"
    assert shop.credits_of(shop.buy("else"), "markov") == []


def test_own_data_driven_model_is_trained_with_its_options(shop):
    shop.visit("a0", "direct", 30)
    town(shop, 2)
    options = {"base": "markov", "order": 2, "lookback_days": 14}
    shop.asked("POST", "", {"name": "Markov of two", **options}, 201)

    shop.work()

    found = shop.asked("GET", "/markov_of_two")
    assert (found["order"], found["status"]) == (2, "ready")
    learned = found["training"]["diagnostics"]
    assert learned["order"] == 2
    assert learned["channels"] == ["email", "paid_search", "paid_social"]
    assert "direct" in trained(shop, "markov")["diagnostics"]["channels"]


@pytest.mark.parametrize("days", [180, "all"])
def test_data_driven_model_sees_no_more_than_it_can_learn_from(shop, days):
    body = {"name": "M", "base": "markov", "lookback_days": days}

    refused = shop.asked("POST", "", body, 422)
    shop.asked("POST", "", {**body, "lookback_days": 30}, 201)
    again = shop.asked("PATCH", "/m", {"lookback_days": days}, 422)

    assert "must be at most the account's, 90" in refused["error"]
    assert refused["error"] == again["error"]


def test_another_name_needs_no_training(shop):
    town(shop)
    shop.asked("POST", "", {"name": "M", "base": "markov"}, 201)
    shop.work()

    shop.asked("PATCH", "/m", {"name": "Chains"})

    assert shop.work() == {}
    assert trained(shop, "m")["version"] == 1


def test_browser_that_changed_hands_is_two_people(shop):
    shop.visit("v", "email", 9)
    shop.caller.post(
        "/identify", {"user_id": "u1", "visitor_id": "v", "timestamp": shop.at(8.5)}
    )
    shop.buy("v", days=8)
    shop.caller.post(
        "/identify", {"user_id": "u2", "visitor_id": "v", "timestamp": shop.at(7)}
    )
    shop.visit("v", "paid_search", 3)
    shop.buy("v", days=2)

    shop.work()

    found = trained(shop, "markov")
    assert (found["journeys"], found["conversions"]) == (2, 2)


def test_model_that_was_changed_is_incomplete_until_all_is_credited_anew(shop):
    for number in range(60):
        shop.visit(f"v{number}", "paid_search", 20)
        shop.visit(f"v{number}", "email", 2)
        shop.buy(f"v{number}", days=1)
    shop.asked("POST", "", {"name": "M", "base": "linear"}, 201)
    shop.work()
    shop.asked("PATCH", "/m", {"lookback_days": 7})
    assert shop.report("m")["incomplete_models"] == ["m"]

    shop.work()

    assert shop.report("m")["incomplete_models"] == []
    assert shop.column("m") == {"email": "60.00"}


def test_change_of_a_data_driven_model_has_it_trained_again(shop):
    town(shop, 2)
    shop.asked("POST", "", {"name": "Mine", "base": "markov"}, 201)
    shop.work()

    shop.asked("PATCH", "/mine", {"order": 3})
    shop.work()

    assert trained(shop, "mine")["diagnostics"]["order"] == 3
    assert shop.report("mine")["incomplete_models"] == []


@pytest.mark.parametrize("base", [None, "shapley"])
def test_model_deleted_while_it_is_trained_has_learned_nothing(shop, base):
    town(shop)
    shop.asked("POST", "", {"name": "M", "base": "markov"}, 201)
    (job,) = [one for one in shop.jobs.jobs if one.name == "training"]
    steps = job.work(shop.app.storage, shop.clock)
    next(steps)

    shop.asked("DELETE", "/m")
    if base is not None:
        shop.asked("POST", "", {"name": "M", "base": base}, 201)
    for _ in steps:
        pass

    assert shop.asked("POST", "", {"name": "N", "base": "markov"}, 201)
    assert shop.buy("a0", days=0.1)["attribution"]["pending"] == (
        ["n"] if base is None else ["m", "n"]
    )
    trained_by_now = shop.app.storage.read(
        lambda s: s.tracking.trained(_tenant(s), ["m", "markov"])
    )
    assert [one.model for one in trained_by_now] == ["markov"]


def test_people_of_several_browsers_are_learned_as_one(shop):
    shop.visit("phone", "paid_social", 5)
    shop.visit("laptop", "paid_search", 4)
    for visitor in ("phone", "laptop"):
        shop.caller.post("/identify", {"user_id": "kim", "visitor_id": visitor})
    town(shop)

    shop.work()

    assert trained(shop, "markov")["journeys"] == 5
    chain = trained(shop, "markov")["diagnostics"]["transitions"]
    assert chain["paid_social"]["paid_search"] == 1


def test_visits_after_the_last_conversion_are_a_journey_of_their_own(shop):
    shop.journey("a", "paid_search", days=3)
    shop.buy("a", days=2)
    shop.visit("a", "email", 1)

    shop.work()

    found = trained(shop, "markov")
    assert (found["journeys"], found["conversions"]) == (2, 1)


def test_live_data_teach_nothing_about_test_data(shop, model_shop):
    live = type(shop)(shop.app, shop.clock, live=True)
    town(live)

    live.work()

    assert live.asked("GET", "/markov")["status"] == "ready"
    assert shop.asked("GET", "/markov")["status"] == "untrained"


# -- credit given anew --


def test_credit_is_given_anew_in_steps_that_can_be_interrupted(shop, monkeypatch):
    for number in range(120):
        shop.visit(f"v{number}", "email", 2)
        shop.buy(f"v{number}", days=1)
    shop.work()
    shop.asked("POST", "", {"name": "M", "base": "last_touch"}, 201)
    (job,) = [one for one in shop.jobs.jobs if one.name == "recrediting"]
    shop.clock.advance(5)

    steps = job.work(shop.app.storage, shop.clock)
    next(steps)
    steps.close()

    half = shop.asked("GET", "/m")
    assert (half["status"], half["credited_percent"]) == ("crediting", 41)
    report = shop.report("m")
    assert report["incomplete_models"] == ["m"]
    assert shop.column("m") == {"email": "50.00"}
    assert shop.work()["recrediting"] == "70 conversions credited anew"
    assert shop.report("m")["incomplete_models"] == []
    assert shop.column("m") == {"email": "120.00"}


def test_conversion_of_a_process_that_knew_the_models_of_before_is_made_up_for(
    caller, tmp_path
):
    """A process may go on with an account as it was for two seconds."""
    database = str(tmp_path / "mbuzz.db")
    made = caller(database=database)
    shop = ModelShop(made.app, made.clock)
    shop.visit("v", "email", 2)
    settings = ServerSettings(database=database)
    with closing(create_app(settings, clock=made.clock)) as other:
        late = type(made)(other, shop.key)
        late.get("/reports/channels")

        shop.asked("POST", "", {"name": "M", "base": "first_touch"}, 201)
        shop.jobs.run_due()
        sold = late.post(
            "/conversions", {"conversion_type": "purchase", "visitor_id": "v"}
        ).json()

    assert shop.credits_of(sold, "m") == []
    shop.work()
    assert shop.credits_of(sold, "m") == [("email", 1.0)]
    assert shop.asked("GET", "/m")["status"] == "ready"


def test_refunds_follow_credit_that_is_given_anew(shop):
    shop.journey("v", "paid_search", "email")
    sold = shop.buy("v", revenue="10.00")
    shop.caller.post(
        f"/conversions/{sold['conversion_id']}/refunds",
        {"refund_id": "r1", "amount": "4.00"},
    )

    shop.asked("POST", "", {"name": "M", "base": "u_shaped"}, 201)
    shop.work()

    rows = {row["channel"]: row["credits"]["m"] for row in shop.report("m")["rows"]}
    assert rows["email"]["refunds"] == rows["paid_search"]["refunds"] == "-2.00"
    assert shop.report("m")["totals"]["net_revenue"] == "6.00"


def test_only_credits_of_the_model_that_changed_are_touched(shop):
    shop.journey("v", "paid_search", "email")
    shop.buy("v")
    shop.work()
    kept = shop.app.storage.read(
        lambda s: s.tracking._db.rows(
            "SELECT * FROM credits WHERE account_id = 1 AND live = 0", {}
        )
    )

    shop.asked("POST", "", {"name": "M", "base": "last_touch"}, 201)
    shop.work()

    now = shop.app.storage.read(
        lambda s: s.tracking._db.rows(
            "SELECT * FROM credits WHERE account_id = 1 AND live = 0 AND model <> 'm'",
            {},
        )
    )
    assert now == kept


def test_conversions_whose_visits_are_gone_are_credited_as_they_are_remembered(shop):
    shop.journey("v", "paid_search", "email", "direct")
    sold = shop.buy("v")
    shop.app.storage.write(
        lambda s: [
            s.privacy.drop_session(key, row[0])
            for key in [_tenant(s)]
            for row in s.tracking._db.rows(
                "SELECT id FROM sessions WHERE account_id = 1 AND live = 0", {}
            )
        ]
    )

    shop.asked(
        "POST", "", {"name": "M", "base": "u_shaped", "exclude_direct": True}, 201
    )
    shop.work()

    assert shop.credits_of(sold, "m") == [("paid_search", 0.5), ("email", 0.5)]


def renewed(shop):
    """Have somebody become a customer and stay one, and somebody else buy."""
    shop.visit("v", "email", 200)
    shop.buy("v", days=199, is_acquisition=True, user_id="kim")
    shop.visit("v", "direct", 2)
    renewal = shop.buy("v", days=1, inherit_acquisition=True, user_id="kim")
    shop.visit("w", "direct", 2)
    return renewal, shop.buy("w")


def test_renewals_outlive_the_acquisition_they_inherit_from(shop):
    renewal, other = renewed(shop)
    shop.app.storage.write(
        lambda s: s.privacy.forget_conversions(
            _tenant(s), shop.clock.now_ms() - 100 * 86_400_000, 10
        )
    )

    shop.asked("POST", "", {"name": "M", "base": "last_touch"}, 201)
    shop.work()

    assert shop.credits_of(renewal, "m") == [("email", 1.0)]
    assert shop.credits_of(other, "m") == [("direct", 1.0)]
    assert shop.report("m")["incomplete_models"] == []
    tried = shop.asked("POST", "/preview", {"base": "last_touch"})
    assert [row["preview"] for row in tried["real"]["rows"]] == [
        row["compared"] for row in tried["real"]["rows"]
    ]


def test_renewals_of_the_erased_keep_the_channels_they_inherited(shop):
    renewed(shop)
    assert shop.caller.send("DELETE", "/api/v1/users/kim").status == 200

    shop.asked("POST", "", {"name": "M", "base": "last_touch"}, 201)
    shop.work()

    assert shop.column("m") == {"email": "1.00", "direct": "1.00"}


def _tenant(stores):
    from mbuzz.server.model import Tenant

    return Tenant(stores.accounts.accounts()[0].id, False)


def test_what_fails_for_one_tenant_lets_the_others_go_on(shop, model_shop):
    live = type(shop)(shop.app, shop.clock, live=True)
    for each in (shop, live):
        each.journey("v", "email")
        each.buy("v")
    shop.asked("POST", "", {"name": "M", "base": "last_touch"}, 201)
    broken = (
        "UPDATE conversions SET converted_at_ms = 'x' WHERE live = 0 AND account_id = 1"
    )
    shop.app.storage.write(lambda s: s.tracking._db.run(broken, {}))

    shop.work()

    assert live.asked("GET", "/m")["status"] == "ready"
    assert shop.asked("GET", "/m")["status"] == "crediting"
    states = {job.name: row.status for job, row in shop.jobs.states()}
    assert states["recrediting"] == "failed"


# -- milestones --


@pytest.mark.parametrize("named", ["mql", "MQL", " Mql"])
def test_milestones_are_events_of_that_name_and_what_leads_to_them_counts(shop, named):
    shop.visit("v", "paid_search", 9)
    shop.visit("v", "email", 5)
    shop.event(named, "v", 4.5)
    shop.visit("v", "paid_social", 3)
    shop.visit("v", "direct", 1)

    sold = shop.buy("v")

    assert shop.credits_of(sold, "w_shaped") == [
        ("paid_search", 0.3),
        ("email", 0.3),
        ("paid_social", 0.1),
        ("direct", 0.3),
    ]


def test_milestones_may_be_conversions_and_of_another_browser(shop):
    shop.visit("phone", "paid_search", 9)
    shop.visit("phone", "email", 5)
    shop.buy("phone", days=4.9, conversion_type="mql", revenue=None)
    shop.visit("laptop", "direct", 1)
    for visitor in ("phone", "laptop"):
        shop.caller.post("/identify", {"user_id": "kim", "visitor_id": visitor})

    sold = shop.buy("laptop", user_id="kim")

    assert shop.credits_of(sold, "w_shaped") == [
        *(("paid_search", 0.333333), ("email", 0.333333), ("direct", 0.333333))
    ]


@pytest.mark.parametrize("as_conversion", [False, True])
def test_late_milestones_change_the_credits_of_later_conversions(shop, as_conversion):
    for days, channel in (
        (9, "paid_search"),
        (5, "email"),
        (3, "email"),
        (1, "direct"),
    ):
        shop.visit("v", channel, days)
    sold = shop.buy("v")
    assert shop.credits_of(sold, "w_shaped")[1] == ("email", 0.071429)

    if as_conversion:
        shop.buy("v", days=4.5, conversion_type="mql", revenue=None)
    else:
        shop.event("mql", "v", 4.5)

    assert shop.credits_of(sold, "w_shaped")[1] == ("email", 0.3)


@pytest.mark.parametrize("name", ["demo booked", "Übergabe", "TŌKYŌ"])
def test_programs_may_ask_for_any_event(shop, name):
    program = (
        f'model "Demo"\n  credit milestone("{name}") with 1\n'
        "  otherwise last_touch\nend\n"
    )
    shop.asked("POST", "", {"program": program}, 201)
    shop.visit("v", "paid_search", 9)
    shop.event(name[0].upper() + name[1:], "v", 8)
    shop.visit("v", "email", 2)

    assert shop.credits_of(shop.buy("v"), "demo") == [("paid_search", 1.0)]
    shop.visit("w", "email", 2)
    assert shop.credits_of(shop.buy("w"), "demo") == [("email", 1.0)]
