// Where a mutation operator applies. Nothing is transformed here: each rule prints what it is
// and the positions of its parts; generate.py rewrites the text.
// Coccinelle's manual, "Position variables": line, column, line_end, column_end.
@initialize:python@ @@
def say(kind, *words):
    out = [kind]
    for w in words:
        if isinstance(w, (list, tuple)):
            out += [w[0].line, w[0].column, w[0].line_end, w[0].column_end]
        else:
            out.append(" ".join(str(w).split()))
    print("\t".join(out))

@r_function@ identifier f; type T; parameter list ps; position p, q; @@
 T f(ps) {@p ... }@q
@script:python@ f << r_function.f; T << r_function.T; ps << r_function.ps; p << r_function.p; q << r_function.q; @@
say("function", f, T, ps, p, q)

@r_statement@ expression E; position p; @@
 E@p;
@script:python@ p << r_statement.p; @@
say("statement", p)

@r_pair@ expression E1, E2; position p, q; @@
 E1@p;
 E2@q;
@script:python@ p << r_pair.p; q << r_pair.q; @@
say("pair", p, q)

@r_condition@ expression E; statement S; position p; @@
 if (E@p) S
@script:python@ p << r_condition.p; @@
say("condition", p)

@r_choice@ expression E, E1, E2; position p; @@
 E@p ? E1 : E2
@script:python@ p << r_choice.p; @@
say("condition", p)

@r_loop@ expression E; statement S; position p; @@
 while (E@p) S
@script:python@ p << r_loop.p; @@
say("loop", p)

@r_binary@ expression E1, E2; binary operator b = {<, <=, >, >=, ==, !=, +, -, &, |, &&, ||}; position p, q; @@
 E1@p b E2@q
@script:python@ p << r_binary.p; q << r_binary.q; @@
say("binary", p, q)

@r_result@ expression E; position p; @@
 return E@p;
@script:python@ p << r_result.p; @@
say("result", p)

@r_first@ identifier f; expression E1, E2; position o, p, q; @@
 f@o(E1@p, E2@q, ...)
@script:python@ f << r_first.f; o << r_first.o; p << r_first.p; q << r_first.q; @@
say("arguments", f, o, p, q)

@r_last@ identifier f; expression E, E1, E2; position o, p, q; @@
 f@o(E, ..., E1@p, E2@q)
@script:python@ f << r_last.f; o << r_last.o; p << r_last.p; q << r_last.q; @@
say("arguments", f, o, p, q)

@r_variable@ identifier f, x; position p; @@
 f(..., x@p, ...)
@script:python@ f << r_variable.f; x << r_variable.x; p << r_variable.p; @@
say("variable", x, p, f)
