/* SPDX-License-Identifier: GPL-2.0-only */
/* The table, and what it says about each sentence. */

static void print_row(const struct row *row)
{
	const struct test *t = row->test;

	printf("%-15s %-8s ", t->name, place_name[row->place]);
	if (t->skip & NEEDLESS) {
		printf("not tried: this processor needs no such step\n");
		return;
	}
	printf("%12llu ", row->runs);
	if (IN_FLIGHT(t->how))
		printf("%12llu ", row->in_flight);
	else
		printf("%12s ", "-");
	printf("%10llu %10llu %10llu  ", row->n[TRAP], row->n[OLD], row->n[MIXED]);
	if (t->role == CLAIM)
		printf("%s\n", row->bad ? "CONTRADICTED" : row->runs ? "held" : "not tried: no time");
	else
		printf("%s\n", row->shown ? "control: shown" : "control: nothing");
	if (*row->note)
		printf("%15s %s\n", "", row->note);
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

	printf("\n\"%s\"\n    ", sentence);
	for (size_t k = 0; k < ARRAY_SIZE(tests); k++)
		for (int i = 0; i < nr_rows; i++) {
			const struct row *row = &rows[i];

			if (row->test != &tests[k] || !row->runs || strcmp(sentence_of(row), sentence))
				continue;
			if (row->test != last)
				printf("%s%s", last ? "; " : "", tests[k].name);
			if (row->place < PLACES)
				printf("%s %s", row->test == last ? "," : "", place_name[row->place]);
			last = row->test;
			runs += row->runs;
			bad += row->bad;
			in_flight += IN_FLIGHT(tests[k].how) ? row->in_flight : 0;
			shown |= row->shown;
		}
	if (!runs)
		printf("not tried\n");
	else if (!claim)
		printf(": %s\n", shown ? "shown" : "control showed nothing: this run proves little about it");
	else if (bad)
		printf(": CONTRADICTED %llu times in %llu runs\n", bad, runs);
	else if (in_flight)
		printf(": not contradicted in %llu runs, %llu of them in flight\n", runs, in_flight);
	else
		printf(": not contradicted in %llu runs\n", runs);
	return claim && bad;
}

static int print_verdicts(void)
{
	bool contradicted = false, proves = true;
	int controls = 0, shown = 0;
	size_t i, k;

	printf("\nSentences of Documentation/core-api/text-patching.rst:\n");
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (k = 0; k < i && strcmp(tests[i].sentence, tests[k].sentence); k++)
			;
		if (k == i)
			contradicted |= print_verdict(tests[i].sentence, tests[i].role == CLAIM);
	}
	if (SNOOP)
		contradicted |= print_verdict(SNOOP, true);
	printf("\n");
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (tests[i].role == CLAIM || tests[i].skip & NEEDLESS)
			continue;
		controls++;
		shown += tests[i].shown;
		if (!tests[i].shown && tests[i].role == MUST) {
			printf("%s: control %s: this run proves little.\n", tests[i].name,
			    tests[i].ran ? "showed nothing" : "did not run");
			proves = false;
		}
	}
	printf("%d of %d controls showed what they control.\n%s\n", shown, controls,
	    contradicted ? "A SENTENCE WAS CONTRADICTED: please send this file." :
	    proves ? "No sentence was contradicted." : "No sentence was contradicted, but this run proves little.");
	return contradicted;
}
