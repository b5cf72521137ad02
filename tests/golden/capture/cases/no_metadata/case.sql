-- Without binlog_row_metadata names, signs and character sets are not known.
-- server: --binlog-row-metadata=NO_LOG
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE n (id INT UNSIGNED PRIMARY KEY, v VARCHAR(20), e ENUM('a','b'), d DECIMAL(5,2), t DATETIME(3));
INSERT INTO n VALUES (1,'x','b',1.5,'2024-01-02 03:04:05.678'),(4294967295,NULL,NULL,NULL,NULL);
