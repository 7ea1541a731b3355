package tcpstack

// GiveUpAfter is for tests that have not the patience of TCP.
var GiveUpAfter = (*Conn).giveUpAfter
