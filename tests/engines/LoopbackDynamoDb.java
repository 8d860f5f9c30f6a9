import com.amazonaws.services.dynamodbv2.local.main.ServerRunner;
import com.amazonaws.services.dynamodbv2.local.server.DynamoDBProxyServer;
import java.lang.reflect.Field;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/**
 * Runs DynamoDB Local on 127.0.0.1 only, until standard input ends. It takes DynamoDB Local's own options.
 *
 * <p>DynamoDB Local has no option for the address and listens on every interface; so the address
 * of its Jetty connector is set before it starts.
 */
public final class LoopbackDynamoDb {
    public static void main(String[] options) throws Exception {
        DynamoDBProxyServer local = ServerRunner.createServerFromCommandLineArgs(options);
        for (Connector connector : jettyOf(local).getConnectors()) {
            ((ServerConnector) connector).setHost("127.0.0.1");
        }
        local.start();
        while (System.in.read() != -1) {
            // Whoever started this holds the other end, and writes nothing.
        }
        System.exit(0);
    }

    private static Server jettyOf(DynamoDBProxyServer local) throws IllegalAccessException {
        for (Field field : DynamoDBProxyServer.class.getDeclaredFields()) {
            if (field.getType() == Server.class) {
                field.setAccessible(true);
                return (Server) field.get(local);
            }
        }
        throw new IllegalStateException("this DynamoDB Local keeps its server elsewhere");
    }
}
