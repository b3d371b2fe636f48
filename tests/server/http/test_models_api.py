"""An account's attribution models: looked at, made, changed, deleted, tried out."""

import pytest

from mbuzz.server.attribution.models import MODEL_LABELS, PRESETS
from mbuzz.server.model_requests import MOST_OWN

PAID = """\
model "Paid counts more"
  weight channel("paid_search", "paid_social") by 3
  distribute proportionally
end
"""


@pytest.fixture
def shop(model_shop):
    return model_shop


def test_everybody_has_eleven_models_and_last_non_direct(shop):
    found = shop.asked("GET", "")["attribution_models"]

    assert [one["id"] for one in found] == list(MODEL_LABELS)
    assert {one["id"]: one["status"] for one in found} == {
        **dict.fromkeys(PRESETS, "ready"),
        **dict.fromkeys(("markov", "shapley", "algorithmic"), "untrained"),
    }
    assert not any(one["own"] for one in found)


def test_every_conversion_has_credits_under_all_rules_at_once(shop):
    shop.journey("v", "paid_search", "email", "direct")

    sold = shop.buy("v")

    assert sold["attribution_credits"].keys() == PRESETS.keys()
    assert sold["attribution"]["pending"] == ["algorithmic", "markov", "shapley"]
    for model, credits_ in sold["attribution_credits"].items():
        assert sum(credit["credit"] for credit in credits_) == pytest.approx(1), model
    assert shop.credits_of(sold, "last_non_direct") == [("email", 1.0)]
    assert shop.credits_of(sold, "u_shaped") == [
        *(("paid_search", 0.4), ("email", 0.2), ("direct", 0.4))
    ]


def test_credits_say_which_role_and_weight_they_come_from(shop):
    shop.journey("v", "paid_search", "email", "direct")
    sold = shop.buy("v")

    full = shop.caller.get(f"/conversions/{sold['conversion_id']}").json()

    whys = [credit["why"] for credit in full["attribution_credits"]["u_shaped"]]
    assert [(why["role"], why["weight"]) for why in whys] == [
        ("first_touch", 0.4),
        ("other", 0.2),
        ("last_touch", 0.4),
    ]
    assert {(why["model"], why["version"]) for why in whys} == {("u_shaped", 1)}


# -- models of one's own --


def test_own_program_counts_for_new_and_old_conversions(shop):
    shop.journey("old", "paid_search", "email")
    before = shop.buy("old")

    made = shop.asked("POST", "", {"program": PAID}, 201)
    shop.journey("new", "email", "paid_search")
    after = shop.buy("new")

    assert (made["id"], made["name"]) == ("paid_counts_more", "Paid counts more")
    assert made["status"] == "crediting"
    assert shop.credits_of(after, "paid_counts_more") == [
        ("email", 0.25),
        ("paid_search", 0.75),
    ]
    assert shop.credits_of(before, "paid_counts_more") == []
    assert "recrediting" in shop.work()
    assert shop.credits_of(before, "paid_counts_more") == [
        ("paid_search", 0.75),
        ("email", 0.25),
    ]
    assert shop.asked("GET", "/paid_counts_more")["status"] == "ready"
    assert shop.column("paid_counts_more") == {"paid_search": "1.50", "email": "0.50"}


@pytest.mark.parametrize(
    ("body", "credits_"),
    [
        ({"base": "linear", "lookback_days": 7}, [("email", 0.5), ("direct", 0.5)]),
        (
            {"base": "linear", "exclude_direct": True},
            [("paid_search", 0.5), ("email", 0.5)],
        ),
        ({"base": "first_touch", "lookback_days": 7}, [("email", 1.0)]),
        ({"base": "shapley", "worth": "conversions"}, [("paid_search", 0.333333)]),
        (
            {"base": "time_decay", "half_life_days": 1},
            [("paid_search", 0.0), ("email", 0.333333), ("direct", 0.666667)],
        ),
    ],
)
def test_known_model_with_other_options(shop, body, credits_):
    shop.visit("v", "paid_search", 30)
    shop.visit("v", "email", 2)
    shop.visit("v", "direct", 1)

    shop.asked("POST", "", {"name": "Mine", **body}, 201)

    assert shop.credits_of(shop.buy("v"), "mine")[: len(credits_)] == credits_


def test_own_window_may_be_wider_than_the_conversions(shop):
    shop.visit("v", "paid_search", 120)
    shop.visit("v", "email", 2)
    shop.asked("POST", "", {"name": "M", "base": "linear", "lookback_days": 180}, 201)

    sold = shop.buy("v")

    assert shop.credits_of(sold, "m") == [("paid_search", 0.5), ("email", 0.5)]
    assert shop.credits_of(sold, "linear") == [("email", 1.0)]
    assert sold["attribution"]["touchpoints"] == 1


def test_change_is_a_new_version_and_the_old_one_stays_reachable(shop):
    shop.asked("POST", "", {"program": PAID}, 201)
    shop.journey("v", "paid_search", "email")
    sold = shop.buy("v")
    shop.work()

    changed = shop.asked(
        "PATCH", "/paid_counts_more", {"program": PAID.replace("by 3", "by 9")}
    )
    shop.work()

    assert changed["version"] == 2
    assert shop.credits_of(sold, "paid_counts_more")[0] == ("paid_search", 0.9)
    versions = shop.asked("GET", "/paid_counts_more/versions")["versions"]
    assert [one["version"] for one in versions] == [2, 1]
    assert "by 3" in shop.asked("GET", "/paid_counts_more?version=1")["program"]
    tried = shop.asked("POST", "/preview", {"model": "paid_counts_more", "version": 1})
    assert {row["channel"]: row["preview"] for row in tried["real"]["rows"]} == {
        "paid_search": {"conversions": "0.75", "revenue": "22.50"},
        "email": {"conversions": "0.25", "revenue": "7.50"},
    }


def test_another_name_is_no_new_version(shop):
    shop.asked("POST", "", {"program": PAID}, 201)

    changed = shop.asked("PATCH", "/paid_counts_more", {"name": "Ads first"})

    assert (changed["name"], changed["version"]) == ("Ads first", 1)
    assert shop.report("paid_counts_more")["model_labels"] == {
        "paid_counts_more": "Ads first"
    }


def test_deleted_model_takes_its_credits_along_and_leaves_its_versions(shop):
    shop.asked("POST", "", {"program": PAID}, 201)
    shop.journey("v", "paid_search", "email")
    sold = shop.buy("v")

    assert shop.asked("DELETE", "/paid_counts_more")["deleted"] is True
    shop.work()

    assert shop.credits_of(sold, "paid_counts_more") == []
    shop.asked("GET", "/paid_counts_more", status=404)
    assert (
        shop.asked("GET", "/paid_counts_more/versions")["versions"][0]["version"] == 1
    )
    again = shop.asked("POST", "", {"program": PAID}, 201)
    assert (again["id"], again["version"]) == ("paid_counts_more", 2)


def test_known_model_can_be_switched_off_and_on_again(shop):
    shop.journey("v", "paid_search", "email")
    sold = shop.buy("v")

    off = shop.asked("PATCH", "/z_shaped", {"active": False})
    shop.work()
    assert off["status"] == "crediting"
    assert shop.asked("GET", "/z_shaped")["status"] == "off"
    assert shop.credits_of(sold, "z_shaped") == []
    assert "z_shaped" not in shop.report()["models"]
    assert "z_shaped" not in shop.buy("w")["attribution_credits"]

    shop.asked("PATCH", "/z_shaped", {"active": True})
    shop.work()
    assert shop.credits_of(sold, "z_shaped") == [("paid_search", 0.5), ("email", 0.5)]
    assert shop.report("z_shaped")["incomplete_models"] == []


def test_models_of_the_same_name_are_told_apart(shop):
    ids = [
        shop.asked("POST", "", {"name": name, "base": "linear"}, 201)["id"]
        for name in ("Linear", "Linear", "Ünï!", "custom", "...")
    ]

    assert ids == ["linear_2", "linear_3", "n", "custom_2", "model"]


def test_there_are_at_most_so_many(shop):
    for _ in range(MOST_OWN):
        shop.asked("POST", "", {"name": "x", "base": "linear"}, 201)

    refused = shop.asked("POST", "", {"name": "x", "base": "linear"}, 422)

    assert "delete one first" in refused["error"]


def test_tree_and_program_are_the_same_model(shop):
    made = shop.asked("POST", "", {"program": PAID}, 201)

    again = shop.asked("POST", "", {"name": "Again", "ast": made["ast"]}, 201)

    assert again["program"] == made["program"]


# -- what cannot be --


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "give a program, or as base one of"),
        ({"base": "best"}, "got 'best'"),
        ({"base": "linear"}, "name is required"),
        ({"name": "", "base": "linear"}, "1 to 100 printable characters"),
        ({"name": "x", "base": "linear", "color": "red"}, "color is not known here"),
        ({"name": "x", "base": "linear", "order": 2}, "only for models on the base"),
        ({"name": "x", "base": "markov", "order": 5}, "order must be 1 to 4, got 5"),
        ({"name": "x", "base": "markov", "order": True}, "order must be 1 to 4"),
        (
            {"name": "x", "base": "time_decay", "half_life_days": 0},
            "more than 0 and at most 365, got 0",
        ),
        ({"name": "x", "base": "time_decay", "half_life_days": "7"}, "got '7'"),
        ({"name": "x", "base": "linear", "lookback_days": 3}, "must be 1, 7, 14"),
        ({"name": "x", "base": "linear", "exclude_direct": 1}, "true or false, got 1"),
        ({"name": "x", "base": "shapley", "worth": "x"}, "rate, conversions"),
        ({"program": PAID, "ast": {}}, "either program, a text, or ast"),
        ({"program": 5}, "program must be a text, got 5"),
        ({"program": PAID, "lookback_days": 7}, "a program says that itself"),
        ({"program": PAID, "exclude_direct": True}, "a program says that itself"),
        ({"base": "linear", "name": "x", "program": PAID}, "only for models on"),
    ],
)
def test_a_model_that_cannot_be_is_told_why(shop, body, why):
    assert why in shop.asked("POST", "", body, 422)["error"]
    assert len(shop.asked("GET", "")["attribution_models"]) == len(MODEL_LABELS)


def test_error_in_a_program_has_its_place(shop):
    wrong = 'model "M"\n  credit first_touch with 0.5\nend\n'

    (detail,) = shop.asked("POST", "", {"program": wrong}, 422)["details"]

    assert (detail["code"], detail["line"], detail["column"]) == ("E402", 2, 27)
    assert detail["text"].splitlines()[3].strip() == "^"


def test_error_in_a_tree_has_its_path(shop):
    tree = shop.asked("POST", "", {"program": PAID}, 201)["ast"]
    tree["statements"][0]["weight"] = "none"

    (detail,) = shop.asked("POST", "", {"ast": tree}, 422)["details"]

    assert detail["path"] == "statements[0].weight"
    assert (detail["line"], detail["column"]) == (0, 0)


@pytest.mark.parametrize("tree", [5, None, [], {}, {"statements": 5}, {"name": {}}])
def test_a_tree_that_is_none_is_a_422(shop, tree):
    assert shop.asked("POST", "", {"ast": tree}, 422)["error"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"name": "x"}, "means the same for everybody"),
        ({}, "means the same for everybody"),
        ({"active": False}, "journeys are remembered by its credits"),
        ({"active": "no"}, "true or false"),
    ],
)
def test_what_everybody_knows_stays_what_it_is(shop, body, why):
    assert why in shop.asked("PATCH", "/linear", body, 422)["error"]


def test_base_of_a_model_stays(shop):
    shop.asked("POST", "", {"name": "M", "base": "linear"}, 201)

    refused = shop.asked("PATCH", "/m", {"base": "u_shaped"}, 422)

    assert "base cannot be changed" in refused["error"]


def test_unknown_models_are_a_404_and_known_ones_are_not_deleted(shop):
    for method, path in [
        ("GET", "/nope"),
        ("GET", "/nope/versions"),
        ("DELETE", "/nope"),
        ("GET", "/linear?version=2"),
        ("GET", "/markov?version=1"),
    ]:
        assert shop.asked(method, path, status=404)["code"] == "not_found"
    shop.asked("PATCH", "/nope", {"active": True}, 404)
    shop.asked("GET", "/linear?version=x", status=422)
    assert "switched off" in shop.asked("DELETE", "/linear", status=409)["error"]


# -- previews --


def test_preview_shows_samples_and_real_conversions_beside_a_known_model(shop):
    shop.journey("v", "paid_search", "email")
    shop.buy("v", revenue="10.01")

    tried = shop.asked("POST", "/preview", {"program": PAID, "compare": "first_touch"})

    assert tried["model"]["name"] == "Paid counts more"
    two = next(one for one in tried["samples"] if one["journey"] == "two visits")
    assert [credit["credit"] for credit in two["credits"]] == [0.75, 0.25]
    real = tried["real"]
    assert (real["conversions"], real["compared_with"]) == (1, "first_touch")
    assert [
        (row["channel"], row["preview"]["revenue"], row["compared"]["revenue"])
        for row in real["rows"]
    ] == [("email", "2.50", "0.00"), ("paid_search", "7.51", "10.01")]
    assert len(shop.asked("GET", "")["attribution_models"]) == len(MODEL_LABELS)


def test_preview_of_a_model_in_force_is_what_the_report_says(shop):
    shop.asked(
        "POST", "", {"name": "Wide", "base": "linear", "lookback_days": 180}, 201
    )
    shop.visit("v", "paid_social", 120)
    shop.journey("v", "paid_search", "direct", "email")
    shop.buy("v")
    shop.buy("nobody", revenue="7.00")
    shop.journey("w", "email", "direct")
    shop.buy("w", revenue="0.01")

    for model in (*PRESETS, "wide"):
        real = shop.asked("POST", "/preview", {"model": model, "compare": model})[
            "real"
        ]

        rows = {row["channel"]: row["preview"] for row in real["rows"]}
        shown = {
            row["channel"]: {
                "conversions": row["credits"][model]["conversions"],
                "revenue": row["credits"][model]["revenue"],
            }
            for row in shop.report(model)["rows"]
        }
        nothing = {"conversions": "0.00", "revenue": "0.00"}
        assert rows == {
            channel: given
            for channel, given in shown.items()
            if given != nothing or channel in rows
        }, model


def test_preview_is_of_the_latest_conversions_in_one_currency(shop):
    for index in range(3):
        shop.journey(f"v{index}", "email")
        shop.buy(f"v{index}", days=0.5 + index / 10)
    shop.buy("v0", currency="EUR", days=0.2)

    real = shop.asked("POST", "/preview", {"base": "linear", "conversions": 2})["real"]

    assert (real["conversions"], real["older_left_out"]) == (2, True)
    assert real["rows"][0]["preview"] == {"conversions": "2.00", "revenue": "60.00"}
    euro = shop.asked("POST", "/preview", {"base": "linear", "currency": "EUR"})
    assert euro["real"]["conversions"] == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"base": "markov"}, "learns before it gives anything"),
        ({"model": "markov"}, "has not been trained"),
        ({"base": "linear", "compare": "x"}, "compare must be one of"),
        ({"base": "linear", "model": "linear"}, "not both"),
        ({"base": "linear", "version": 1}, "give model, too"),
        ({"model": "linear", "version": "1"}, "version must be a number"),
        ({"base": "linear", "from": 5}, "from must be a date"),
        ({"base": "linear", "from": "2026-11-02", "to": "2026-11-01"}, "after"),
        ({"base": "linear", "conversions": 0}, "conversions must be 1 to"),
        ({"base": "linear", "currency": "dollars"}, "three letters"),
        ({"base": "linear", "hue": 1}, "hue is not known here"),
    ],
)
def test_preview_that_cannot_be_is_told_why(shop, body, why):
    assert why in shop.asked("POST", "/preview", body, 422)["error"]


def test_model_called_preview_is_not_in_the_way_of_previews(shop):
    made = shop.asked("POST", "", {"name": "Preview", "base": "linear"}, 201)

    assert shop.asked("GET", f"/{made['id']}")["name"] == "Preview"


@pytest.mark.parametrize("version", [2**63, 10**30, 0, -1, True, "1"])
@pytest.mark.parametrize("model", ["markov", "linear"])
def test_preview_refuses_versions_that_cannot_be(shop, model, version):
    shop.asked("POST", "/preview", {"model": model, "version": version}, 422)
