// Tokens of a `.hd` text. Line ends are tokens here; a filter (frontend/tokens.cpp) drops those that end nothing.
lexer grammar HeddleLexer;

// Reserved words.
ELSE: 'else';
FALSE: 'false';
IF: 'if';
IMPORT: 'import';
INF: 'inf';
INOUT: 'inout';
CONST: 'const';
INSTR: 'instr';
LET: 'let';
NOT_A_NUMBER: 'nan';
OP: 'op';
OR: 'or';
OUT: 'out';  // before a parameter's name; elsewhere the parser gets it as ID (frontend/parse.cpp)
PROGRAM: 'program';
REDUCER: 'reducer';
REQUIRE: 'require';
SCAN: 'scan';
SCHEDULE: 'schedule';
THEN: 'then';
TRUE: 'true';
TUNE: 'tune';
WHERE: 'where';

// Prepositions: a closed set, reserved.
AFTER: 'after';
AS: 'as';
AT: 'at';
BY: 'by';
IN: 'in';
INTO: 'into';
TO: 'to';
WHEN: 'when';
WITH: 'with';

// Words that mean something in one place and are names elsewhere (rule `name` of the parser lists them).
ALLOC: 'alloc';
ALLOW: 'allow';
CALL: 'call';
CHECK: 'check';
COMBINE: 'combine';
COMMUTES: 'commutes';
COPIES: 'copies';
COST: 'cost';
EXACTLY: 'exactly';
FACTS: 'facts';
FOR: 'for';
IDENTITY: 'identity';
LAYOUT: 'layout';
NUMERICS: 'numerics';
OF: 'of';
ON: 'on';
PAD: 'pad';
REDUCE: 'reduce';
REVERSE: 'reverse';
STAGE: 'stage';
STEP: 'step';

ID: [a-zA-Z_] [a-zA-Z_0-9]*;

// A float has a digit on both sides of its dot, so `0..i` is a range.
FLOAT: DIGITS '.' DIGITS EXPONENT? | DIGITS EXPONENT;
INT: DIGITS | '0' [xX] [0-9a-fA-F]+;
fragment DIGITS: [0-9]+;
fragment EXPONENT: [eE] [+-]? [0-9]+;

STRING: '"' (~["\\\r\n] | '\\' ~[\r\n])* '"';
OPEN_STRING: '"' (~["\\\r\n] | '\\' ~[\r\n])* '\\'?;

LPAREN: '(';
RPAREN: ')';
LBRACKET: '[';
RBRACKET: ']';
LBRACE: '{';
RBRACE: '}';
COMMA: ',';
COLON: ':';
AT_SIGN: '@';
ELLIPSIS: '...';
RANGE: '..';
DOT: '.';
ARROW: '->';
UPDATE: '<-';
SHIFT_LEFT: '<<';
SHIFT_RIGHT: '>>';
LE: '<=';
GE: '>=';
EQ: '==';
NE: '!=';
ASSIGN: '=';
LT: '<';
GT: '>';
ANDAND: '&&';
OROR: '||';
NOT: '!';
AND: '&';
BAR: '|';
CARET: '^';
TILDE: '~';
PLUS: '+';
MINUS: '-';
STAR: '*';
SLASH: '/';
PERCENT: '%';

SEMICOLON: ';';
NL: '\n';
BLANK: [ \t\r\f]+ -> skip;
DOC: '///' ~[\r\n]*;
COMMENT: '//' ~[\r\n]* -> skip;
// Anything else: one token, so that the filter reports it with its place.
STRAY: .;
