package conformance

func runChild(string) int { return 0 }

const childDatabase = "POSTROOM_CONFORMANCE_DATABASE"
