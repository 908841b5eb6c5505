// The grammar of modules. It is LL(1), so the parser never predicts: the token filter (frontend/tokens.cpp) leaves exactly one NL
// between two statements and none after `{` or before `}`, and operators are a flat list that the tree builder
// (frontend/parse.cpp) groups by precedence. tests/grammar holds it to 0 ambiguities and 0 context sensitivities.
parser grammar HeddleParser;
options { tokenVocab = HeddleLexer; }

// Entry points ------------------------------------------------------------------------------------------------------

fullModule: item? (NL item)* EOF;
onlyExpr: expr EOF;
onlyLines: line? (NL line)* EOF;

item
  : IMPORT STRING (AS name)?                                                          # importItem
  | LET name ASSIGN expr                                                              # letItem
  | OP name generics? params (ARROW results)? block                                   # opItem
  | REDUCER name generics? params (COMMUTES EXACTLY?)? LBRACE (reducerPart NL?)* RBRACE  # reducerItem
  | SCHEDULE path ON target allow? where? lines                                       # scheduleItem
  | STEP name LPAREN (stepParam (COMMA stepParam)*)? RPAREN lines                     # stepItem
  | INSTR name params NUMERICS numeric (COMMA numeric)* (COST expr)? block            # instrItem
  | PROGRAM path params (ON target)? allow? (FACTS LPAREN (expr (COMMA expr)*)? RPAREN)? body  # programItem
  ;

generics: LT generic (COMMA generic)* GT;
generic: name (COLON name)?;
params: LPAREN (param (COMMA param)*)? RPAREN;
param: (IN | OUT | INOUT | CONST)? name COLON type memory? (ASSIGN expr)?;
memory: IN name layoutMap? (PAD expr)?;
layoutMap: LAYOUT LPAREN (name (COMMA name)*)? RPAREN ARROW LPAREN (expr (COMMA expr)*)? RPAREN;
results: result | LPAREN result (COMMA result)* RPAREN;
result: name COLON type;
type: name (LBRACKET entries? RBRACKET)?;

target: name (SLASH targetWord)?;
targetWord: name (MINUS (name | INT))*;
allow: ALLOW name (COMMA name)*;
where: WHERE expr;

reducerPart
  : IDENTITY block                             # identityPart
  | COMBINE LPAREN name COMMA name RPAREN block  # combinePart
  | OF LBRACKET name RBRACKET name block       # wholePart
  ;
stepParam: name COLON name;
numeric: name (number (RANGE number)?)?;
number: MINUS? (INT | FLOAT | INF);

// Blocks of ops, reducers, instructions and leaves --------------------------------------------------------------------

block: LBRACE stmt? (NL stmt)* RBRACE;
stmt
  : LET name ASSIGN expr          # letStmt
  | REQUIRE expr COMMA STRING     # requireStmt
  | SCAN name REVERSE? block      # scanStmt
  | equation                      # equationStmt
  ;
equation: ref (COMMA ref)* (name? ASSIGN | UPDATE) right;
// A value, or a reduction: `path[binders]` and a body, whose first token cannot go on an expression. A body that begins with
// a parenthesis reads as the call `path[binders](..)`; the tree builder tells them apart by the brackets.
right: expr reductionBody?;
reductionBody: IF expr THEN expr ELSE expr | bodyUnary (binary unary)*;
bodyUnary: (NOT | TILDE) unary | bodyAtom otherwise?;
bodyAtom: literal | ref callArgs?;

// Expressions ---------------------------------------------------------------------------------------------------------

expr: IF expr THEN expr ELSE expr | unary (binary unary)*;
binary
  : PLUS | MINUS | STAR | SLASH | PERCENT | SHIFT_LEFT | SHIFT_RIGHT | AND | BAR | CARET
  | EQ | NE | LT | LE | GT | GE | ANDAND | OROR
  ;
unary: (MINUS | NOT | TILDE) unary | atom otherwise?;
otherwise: OR unary;
atom: literal | ref callArgs? | tuple | list;
literal: INT | FLOAT | INF | NOT_A_NUMBER | TRUE | FALSE | STRING;
callArgs: LPAREN entries? RPAREN;
tuple: LPAREN entries? RPAREN;
list: LBRACKET entries? RBRACKET;
ref: path (subscripts (DOT name subscripts?)?)?;
subscripts: LBRACKET entries? where? RBRACKET;
entries: entry (COMMA entry)*;
entry: ELLIPSIS name | expr (IN expr RANGE expr | RANGE expr)? (ASSIGN expr)?;

path: name part? (DOT name part?)*;
part: AT_SIGN (name | STAR);
name
  : ID
  | ALLOC | ALLOW | CALL | CHECK | COMBINE | COMMUTES | COPIES | COST | EXACTLY | FACTS | FOR | IDENTITY | LAYOUT
  | NUMERICS | OF | ON | PAD | REDUCE | REVERSE | STAGE | STEP
  ;

// Schedules -----------------------------------------------------------------------------------------------------------

lines: LBRACE line? (NL line)* RBRACE;
line
  : TUNE name ASSIGN expr IN expr (RANGE expr (BY STAR expr)?)? where?  # tuneLine
  | LET name ASSIGN expr                                                # letLine
  | branch                                                              # branchLine
  | path operands? (preposition operands)*                              # stepLine
  ;
// Only the last `else` stands without `if`: checked by the tree builder. A loop, so that long chains are not deep.
branch: IF expr lines otherLines*;
otherLines: ELSE (IF expr)? lines;
preposition: BY | INTO | AT | AS | IN | TO | WITH | WHEN | AFTER;
operands: operand (COMMA operand)*;
operand: expr (ASSIGN expr)?;

// Printed programs ------------------------------------------------------------------------------------------------------

body: LBRACE programStmt? (NL programStmt)* RBRACE;
programStmt
  : LET name ASSIGN expr                                                                   # letProgram
  | REQUIRE expr COMMA STRING                                                              # requireProgram
  | STAGE path LPAREN (axis (COMMA axis)*)? RPAREN (BY name)? (INTO ref (COMMA ref)*)? where? name*  # stageProgram
  | FOR path IN expr RANGE expr loopKind? body                                             # forProgram
  | ALLOC path COLON type IN name layoutMap? (PAD expr)? (COPIES expr)?                    # allocProgram
  | REDUCE ref (COMMA ref)* BY name name? body                                             # reduceProgram
  | AT path LPAREN (binding (COMMA binding)*)? RPAREN where? name* leaf                    # leafProgram
  | CALL path LPAREN (ref (COMMA ref)*)? RPAREN                                            # callProgram
  | CHECK expr COMMA STRING (AT expr (COMMA expr)*)?                                       # checkProgram
  ;
axis: (name | SCAN) name IN expr RANGE expr;
// `on AXIS`, `vector`, `pipelined 2 at (0, 1)`, `prefetch x by 4, w by 8`: the tree builder knows the words.
loopKind: ON name | ID (expr (AT expr | BY expr (COMMA expr BY expr)*)?)?;
binding: name ASSIGN expr;
leaf: LBRACE equation? (NL equation)* RBRACE;
