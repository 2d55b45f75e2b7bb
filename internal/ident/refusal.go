package ident

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// reason says in a few words why a handshake came to nothing, for a person who sees nothing but this line.
func reason(err error) string {
	var (
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		alert   tls.AlertError
	)
	switch text := err.Error(); {
	case errors.As(err, &record):
		return "not TLS"
	case errors.As(err, &unknown):
		return "certificate of another cluster"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return outOfDate(invalid)
	case errors.Is(err, errNoProtocol):
		return errNoProtocol.Error()
	case strings.Contains(text, "unsupported application protocols"):
		return errNoProtocol.Error()
	// crypto/tls has no types for these; a test holds its words.
	case strings.Contains(text, "didn't provide a certificate"):
		return "no certificate"
	case strings.Contains(text, "unsupported versions"):
		return "TLS older than 1.3"
	case text == "remote error: tls: bad certificate", text == "remote error: tls: unknown certificate authority":
		return "the other side did not accept our certificate: it is of another cluster, or looked for another node"
	case strings.HasPrefix(text, "remote error: "):
		return "the other side refused: " + strings.TrimPrefix(strings.TrimPrefix(text, "remote error: "), "tls: ")
	case errors.As(err, &alert):
		return strings.TrimPrefix(alert.Error(), "tls: ")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "hung up before the end of the handshake"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent for " + joinTime.String()
	default:
		text = strings.TrimPrefix(text, "tls: failed to verify certificate: ")
		return strings.TrimPrefix(text, "tls: ")
	}
}

// outOfDate tells the two ways apart that x509 calls expired: for one the certificate is to blame, for the other a clock.
func outOfDate(e x509.CertificateInvalidError) string {
	who := "certificate"
	if _, name, err := subject(e.Cert); err == nil {
		who += " of " + string(name)
	}
	if strings.Contains(e.Detail, "is before") {
		return who + " is not valid before " + e.Cert.NotBefore.UTC().Format(time.DateTime+"Z") + ": one of the clocks is wrong"
	}
	return who + " expired at " + e.Cert.NotAfter.UTC().Format(time.DateTime+"Z")
}
