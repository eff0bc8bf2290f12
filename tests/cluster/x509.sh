# shellcheck shell=bash
# Keys and certificates in the current directory, for tests only. Sourced.

new_key() { # NAME
  # PKCS#8 is what every TLS library reads.
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
}

authority() { # NAME
  new_key "$1"
  openssl req -x509 -new -key "$1.key" -days 30 -subj "/CN=$1" -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

certificate() { # AUTHORITY NAME SUBJECT [ALTERNATIVE_NAMES]
  new_key "$2"
  openssl req -x509 -new -key "$2.key" -CA "$1.crt" -CAkey "$1.key" -days 30 -subj "$3" -out "$2.crt" \
    -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
    -addext extendedKeyUsage=serverAuth,clientAuth \
    ${4:+-addext "subjectAltName=$4"}
}
