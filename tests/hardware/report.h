/* SPDX-License-Identifier: GPL-2.0-only */
/* The table, and what it says about each sentence. */

static void print_row(const struct row *row)
{
	const struct test *t = row->test;

	say("%-15s %-8s ", t->name, place_name[row->place]);
	if (ABSENT(t->skip)) {
		say("not tried: this processor needs no such step\n");
		return;
	}
	say("%12llu ", row->runs);
	if (IN_FLIGHT(t->how))
		say("%12llu ", row->in_flight);
	else
		say("%12s ", "-");
	say("%10llu %10llu %10llu  ", row->n[TRAP], row->n[OLD], row->n[MIXED]);
	if (t->role == CLAIM)
		say("%s\n", row->bad ? "CONTRADICTED" : row->runs ? "held" : "not tried: no time");
	else
		say("%s\n", row->shown ? "control: shown" : "control: nothing");
	if (t->how & TIMING)
		say("%15s a call takes %.1f ns as before, %.1f ns to another target\n", "", row->here,
		    row->elsewhere);
	if (row->got && !(t->how & TORN))
		say("%15s returned %#x, not %#x\n", "", row->got, row->wanted);
}

/* On x86 there is a sentence about the sibling thread alone. */
static const char *sentence_of(const struct row *row)
{
	if (SNOOP && row->place == SIBLING && row->test->role == CLAIM && !(row->test->how & DIRECT))
		return SNOOP;
	return row->test->sentence;
}

/* The experiments, each with the places of its readers. Returns whether one contradicted. */
static bool print_verdict(const char *sentence, bool claim)
{
	unsigned long long runs = 0, in_flight = 0, bad = 0;
	const struct test *last = NULL;
	bool shown = false;

	say("\n\"%s\"\n    ", sentence);
	for (size_t k = 0; k < ARRAY_SIZE(tests); k++)
		for (int i = 0; i < nr_rows; i++) {
			const struct row *row = &rows[i];

			if (row->test != &tests[k] || !row->runs || strcmp(sentence_of(row), sentence))
				continue;
			if (row->test != last)
				say("%s%s", last ? "; " : "", tests[k].name);
			if (row->place < PLACES)
				say("%s %s", row->test == last ? "," : "", place_name[row->place]);
			last = row->test;
			runs += row->runs;
			bad += row->bad;
			in_flight += IN_FLIGHT(tests[k].how) ? row->in_flight : 0;
			shown |= row->shown;
		}
	if (!runs)
		say("not tried\n");
	else if (!claim)
		say(": %s\n", shown ? "shown" : "control showed nothing: this run proves little about it");
	else if (bad)
		say(": CONTRADICTED %llu times in %llu runs\n", bad, runs);
	else if (in_flight)
		say(": not contradicted in %llu runs, %llu of them in flight\n", runs, in_flight);
	else
		say(": not contradicted in %llu runs\n", runs);
	return claim && bad;
}

static int print_verdicts(void)
{
	bool contradicted = false, proves = true;
	int controls = 0, silent = 0;
	size_t i, k;

	say("\nSentences of Documentation/core-api/text-patching.rst:\n");
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (k = 0; k < i && strcmp(tests[i].sentence, tests[k].sentence); k++)
			;
		if (k == i)
			contradicted |= print_verdict(tests[i].sentence, tests[i].role == CLAIM);
	}
	if (SNOOP)
		contradicted |= print_verdict(SNOOP, true);
	say("\n");
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		bool shown = false, ran = false;

		if (tests[i].role == CLAIM || ABSENT(tests[i].skip))
			continue;
		for (k = 0; k < (size_t)nr_rows; k++) {
			ran |= rows[k].test == &tests[i] && rows[k].runs;
			shown |= rows[k].test == &tests[i] && rows[k].shown;
		}
		controls++;
		silent += !shown;
		if (!shown && tests[i].role == MUST) {
			say("%s: control %s: this run proves little.\n", tests[i].name,
			    ran ? "showed nothing" : "did not run");
			proves = false;
		}
	}
	say("%d of %d controls showed what they control.\n%s\n", controls - silent, controls,
	    contradicted ? "A SENTENCE WAS CONTRADICTED: please send this file." :
	    proves ? "No sentence was contradicted." : "No sentence was contradicted, but this run proves little.");
	return contradicted;
}
