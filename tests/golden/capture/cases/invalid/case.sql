-- JSON that is none, bytes that are no UTF-8, labels that do not exist: the `invalid` rule.
-- replace: 7a7a7a7a c3287a7a
-- replace: 71717171 7171ff71
CREATE DATABASE g; USE g; SET timestamp=1764000000; SET sql_mode='', check_constraint_checks=0;
CREATE TABLE j (id INT PRIMARY KEY, j JSON, t VARCHAR(20), a VARCHAR(20) CHARACTER SET ascii,
  jl TEXT CHARACTER SET latin1);
INSERT INTO j VALUES (1,'{"a" : [1, 2.50 ,true], "b":{"c":null} , "ü":"\\u00e9\\n" }','t','a','["é" , 1]'),
 (2,'{"broken":','fine','a','nö'),(3,'','zzzz','qqqq',''),(4,NULL,NULL,NULL,NULL),
 (5,' "text" ','x','y','12.50'),(6,'nan','x','y','{}');
UPDATE j SET j='{"mended": 1}' WHERE id=2;
UPDATE j SET t='mended', a='mended' WHERE id=3;
CREATE TABLE i (id INT PRIMARY KEY, e ENUM('a'), s SET('a','b'), j JSON);
INSERT INTO i VALUES (1,'','','broken');
DELETE FROM i;
