"""Everyday English sentences without end, made from patterns and word lists: material for synthetic speech."""

import random
import re
from functools import cache

from audiogen.text.lexicon import cmudict

# Each name stands for what its line lists; entries may hold further `{name}`s. `sentence` is where a draw begins.
_SHORT_LISTS = {
    "name": """
        Anna, Ben, Carla, David, Emma, Frank, Grace, Henry, Iris, Jack, Kate, Leo, Maria, Nora, Oliver, Paul, Quinn,
        Rosa, Sam, Tina, Victor, Wendy, Zoe, Arthur, Bella, Charles, Diana, Edward, Fiona, George, Helen, Isaac,
        Julia
    """,
    "person": """
        {name}, {name}, my {relative}, her {relative}, his {relative}, our {relative}, the {job}, a {job}, the old
        {job}, that young {job}, the new {job}, my {adjective} {relative}
    """,
    "relative": """
        brother, sister, mother, father, uncle, aunt, cousin, neighbor, friend, daughter, son, grandmother,
        grandfather, nephew, niece, boss, roommate, partner
    """,
    "job": """
        teacher, doctor, farmer, driver, nurse, painter, lawyer, baker, sailor, singer, soldier, engineer, waiter,
        judge, pilot, gardener, plumber, writer, captain, mayor, butcher, tailor, mechanic, librarian, student,
        guard, carpenter, dentist, chef, fisherman, journalist, shepherd
    """,
    "adjective": """
        old, young, tall, quiet, clever, happy, tired, brave, gentle, strange, famous, careful, angry, funny,
        honest, patient, proud, rich, poor, shy, kind, lazy, cheerful, serious, curious, generous
    """,
    "object": """
        book, chair, table, window, bicycle, letter, bottle, basket, camera, candle, hammer, ladder, mirror, needle,
        pencil, picture, pillow, plate, radio, rope, shovel, suitcase, telephone, ticket, towel, umbrella, violin,
        wallet, watch, blanket, bucket, button, drum, envelope, guitar, jacket, kettle, lamp, map, newspaper, oven,
        purse, ring, scarf, shirt, spoon, sweater, trumpet, vase, wheel, box, brush, knife, key, boat, truck, clock,
        coin, flag
    """,
    "quality": """
        red, blue, green, yellow, purple, heavy, light, broken, wooden, round, empty, full, sharp, soft, thick,
        thin, wet, dry, clean, dirty, cheap, expensive, ancient, modern, tiny, huge, warm, cold, rough, smooth,
        bright, dark, ugly, lovely, useful, rusty, golden, striped, narrow, wide, square, loose, fresh, plain
    """,
    "thing": """
        {object}, {quality} {object}, {quality} {object}, {quality} and {quality} {object}, {object} of the {job}
    """,
    "food": """
        bread, butter, cheese, rice, soup, honey, fish, chicken, salad, pasta, chocolate, coffee, tea, milk, orange
        juice, apple pie, roast beef, onions, mushrooms, potatoes, cherries, grapes, garlic, pepper, sugar, yogurt
    """,
    "animal": """
        dog, cat, horse, cow, goat, pig, duck, fox, bear, lion, tiger, elephant, monkey, rabbit, turtle, snake,
        eagle, owl, whale, shark, bee, spider, donkey, squirrel, parrot, frog
    """,
    "place": """
        the {building}, the {building}, the {outdoors}, the {outdoors}, the old {building}, the {quality} {building}
    """,
    "building": """
        station, library, kitchen, market, museum, office, church, school, theater, hospital, hotel, factory,
        garage, bakery, castle, barn, bank, airport, prison, restaurant, cellar, bathroom, tower, cottage,
        warehouse, attic
    """,
    "outdoors": """
        garden, river, beach, forest, mountain, bridge, harbor, field, park, road, island, lake, valley, desert,
        village, street, square, hill, farm, ocean, meadow, path, pond, shore, railway, playground, corner
    """,
    "city": """
        London, Boston, Chicago, Paris, Berlin, Madrid, Rome, Tokyo, Sydney, Cairo, Dublin, Vienna, Moscow, Lisbon,
        Toronto, Houston, Denver, Seattle, Oslo, Athens, Geneva, Prague, Brussels, Amsterdam
    """,
    "did": """
        found, lost, sold, bought, carried, painted, borrowed, repaired, dropped, opened, closed, washed, wanted,
        forgot, hid, moved, cleaned, noticed, brought, stole, admired, kept, broke, needed, measured, returned,
        shook, described, examined, covered, pulled, pushed, threw, lifted, ignored, chose, used, touched
    """,
    "went": """
        walked, ran, drove, hurried, traveled, rode, moved, went, returned, came, wandered, climbed, marched, rushed
    """,
    "verb": """
        find, sell, buy, carry, paint, borrow, fix, open, close, wash, forget, hide, move, clean, bring, keep,
        break, measure, return, describe, check, cover, pull, push, throw, lift, use, touch, draw, choose, hold,
        share
    """,
    "doing": """
        reading, sleeping, cooking, singing, working, talking, laughing, crying, swimming, dancing, waiting,
        writing, shouting, smiling, eating, drinking, thinking, playing chess, digging, fishing, whispering, packing
    """,
    "near": """
        near, behind, beside, under, above, across from, in front of, next to, not far from, on the way to, past
    """,
    "how": """
        quickly, slowly, quietly, suddenly, carefully, happily, badly, easily, gently, loudly, rarely, often,
        usually, secretly, proudly, finally, at once, again, alone, together, without a word, with great care, on
        foot
    """,
    "when": """
        yesterday, this morning, last night, on {day}, in {month}, before noon, after lunch, at {hour}, last
        {month}, a week ago, many years ago, in the evening, during the storm, before sunrise, at midnight, this
        afternoon, two days later, in the spring, every summer, when it rained
    """,
    "soon": """
        tomorrow, tonight, next {month}, on {day}, soon, at {hour}, in a few minutes, after dinner, next year,
        before {day}, in {count} days, by the end of {month}, early in the morning, over the weekend
    """,
    "day": "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
    "month": "January, February, March, April, May, June, July, August, September, October, November, December",
    "hour": """
        one o'clock, two o'clock, three o'clock, half past four, five, a quarter past six, seven thirty, eight, nine
        fifteen, a quarter to ten, eleven, twelve
    """,
    "count": """
        two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, fifteen, twenty, thirty, forty, fifty,
        sixty, seventy, eighty, ninety, a hundred, twenty one, thirty six, forty seven, two hundred, a thousand,
        half a dozen
    """,
    "weather": "rain, snow, wind, thunder, sunshine, fog, heat, ice, hail, frost",
    "feeling": """
        joy, fear, anger, hope, doubt, pride, shame, trust, pity, courage, patience, surprise, relief, boredom
    """,
    "matter": """
        music, history, weather, money, law, science, peace, health, politics, poetry, travel, sports, art,
        language, business, education, religion, gardening, football, chemistry, the future, the past, nothing at
        all
    """,
    "subject": "I, you, we, they, he, she, {person}, {person}, {person}, nobody, everybody, somebody",
    "plural": """
        they, we, you, the children, most people, {name} and {name}, both brothers, the {job}s, his parents
    """,
    "opening": """
        well, yes, no, of course, oddly enough, to be honest, as usual, by the way, in fact, after all, once more,
        for a moment, in the end, at first, perhaps, luckily, of all things, on the other hand
    """,
    "question": "where, when, why, how, how often, how soon",
}
_PATTERNS = {
    "clause": """
        {subject} {did} the {thing}
        {subject} {did} a {thing} {near} {place}
        {subject} {went} to {place}
        {subject} {went} {how} {near} {place}
        the {animal} {went} {near} {place}
        the {thing} was {quality}
        the {thing} and the {object} were both {quality}
        the {animal} was {doing} {near} {place}
        {person} was {doing} {near} {place}
        {plural} were {doing}
        there was a {thing} {near} {place}
        there were {count} {animal}s {near} {place}
        the {building} in {city} was {quality}
        {person} gave {person} a {thing}
        {person} had {count} {object}s and a {animal}
        {person} never talked about {matter}
        {subject} felt {feeling} and {feeling}
        {subject} could not {verb} the {thing}
        the {weather} lasted until {day}
        the road to {city} was {quality}
    """,
    "future": """
        {subject} will {verb} the {thing}
        {plural} have to {verb} the {thing}
        we should {verb} the {thing}
        {subject} will be {doing}
        the train to {city} will leave from {place}
        there will be {weather} and {weather} in {city}
        {name} might {verb} it {how}
    """,
    "sentence": """
        {clause} {when}.
        {clause} {how}.
        {clause} {when}, and {clause}.
        {clause}, but {clause}.
        {clause} because {clause}.
        When {clause}, {clause}.
        If {clause}, {future}.
        {future} {soon}.
        {future} {soon}, unless {clause}.
        {opening}, {clause}.
        {opening}, {clause}; {clause}.
        Did {person} {verb} the {thing} {near} {place}?
        Do you {verb} the {thing} {when}?
        Can you {verb} the {quality} {object} {soon}?
        {question} did {person} {verb} the {thing}?
        {question} is {person} {doing}?
        What is {near} {place}?
        Who {did} the {thing} {when}?
        Please {verb} the {thing} {how}.
        Please bring {count} {object}s, some {food} and the {thing}.
        Do not {verb} the {thing} {soon}!
        What a {quality} {object}!
        {person} said that {clause}.
        {person} asked whether {clause}.
        I think {clause}, {name}.
        We ate {food}, {food} and {food} {when}.
        {food} with {food} costs {count} dollars.
        {name} is {count} years old and comes from {city}.
        It is {hour} in {city} and {hour} in {city}.
        Turn left {near} {place}, then walk {count} steps.
        The number is {digit} {digit} {digit}, {digit} {digit} {digit}.
        {matter}, {matter} and {matter} are taught on {day}.
        The words are {word}, {word} and {word}.
        {word}, {word}, {word}, {word}.
        {name} wrote {word} {word} on the {thing}.
        Is it {word} or {word}?
        The {word} {object} is {near} the {word} {building}.
    """,
    "digit": "\n".join("zero one two three four five six seven eight nine oh".split()),
}
_RULES = {name: [" ".join(entry.split()) for entry in text.split(",")] for name, text in _SHORT_LISTS.items()}
_RULES |= {name: [line.strip() for line in text.strip().splitlines()] for name, text in _PATTERNS.items()}
_SLOT = re.compile(r"{(\w+)}")


def draw_sentence(choose: random.Random) -> str:
    """A grammatical, if odd, sentence of 3 to 40 words. `{word}` draws from the whole pronouncing dictionary."""
    sentence = _fill("{sentence}", choose)
    sentence = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", sentence)
    return sentence[0].upper() + sentence[1:]


def _fill(pattern: str, choose: random.Random) -> str:
    return _SLOT.sub(lambda slot: _expand(slot[1], choose), pattern)


def _expand(name: str, choose: random.Random) -> str:
    if name == "word":
        return choose.choice(_dictionary())
    return _fill(choose.choice(_RULES[name]), choose)


@cache
def _dictionary() -> list[str]:
    return [word for word in cmudict().words() if word.isalpha() and 3 <= len(word) <= 11]
