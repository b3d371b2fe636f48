"""Data-driven models trained by the job, and credit given anew, on a real backend."""

import json

import pytest

from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.attribution.paths import PathTable
from mbuzz.server.attribution.trained import train
from mbuzz.server.model_definitions import LEARNED

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


@pytest.mark.parametrize("model", LEARNED)
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
    assert set(report["models"]) == {*PRESETS, *LEARNED}
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
    assert set(sold["attribution"]["models"]) == {*PRESETS, *LEARNED}
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


def test_change_of_a_data_driven_model_has_it_trained_again(shop):
    town(shop, 2)
    shop.asked("POST", "", {"name": "Mine", "base": "markov"}, 201)
    shop.work()

    shop.asked("PATCH", "/mine", {"order": 3})
    shop.work()

    assert trained(shop, "mine")["diagnostics"]["order"] == 3
    assert shop.report("mine")["incomplete_models"] == []


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


def _tenant(stores):
    from mbuzz.server.model import Tenant

    return Tenant(stores.accounts.accounts()[0].id, False)


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


def test_programs_may_ask_for_any_event(shop):
    program = (
        'model "Demo"\n  credit milestone("demo booked") with 1\n'
        "  otherwise last_touch\nend\n"
    )
    shop.asked("POST", "", {"program": program}, 201)
    shop.visit("v", "paid_search", 9)
    shop.event("Demo booked", "v", 8)
    shop.visit("v", "email", 2)

    assert shop.credits_of(shop.buy("v"), "demo") == [("paid_search", 1.0)]
    shop.visit("w", "email", 2)
    assert shop.credits_of(shop.buy("w"), "demo") == [("email", 1.0)]
